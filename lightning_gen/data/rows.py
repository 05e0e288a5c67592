"""Rows of a split, and the one loader over them.

Rows          images by index: in memory (`MemoryRows`) or decoded on the way (`files.FileRows`)
TrainLoader   shuffled batches; the order is a function of (seed, epoch) alone; resumes in mid-epoch
PlainLoader   a split in its fixed order
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice, tee
from typing import Any, final

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch, send
from lightning_gen.data.augment import Augmentation, Draws
from lightning_gen.errors import UserError, check_counts

__all__ = ["Column", "MemoryRows", "PlainLoader", "Rows", "TrainLoader"]

#: one value per image: a tensor whose first dimension is the image, or a list of texts, whose lines are the captions of
#: one picture
Column = Tensor | list[str]


class Rows(ABC):
    """Images and what belongs to them, by index."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batches(self, indices: Iterable[Tensor]) -> Iterator[Batch]:
        """One batch per int64 (B,) of `indices`, in order; may read ahead in `indices`."""

    def epoch(self, generator: Generator, rank: int, world: int, batch_size: int) -> Iterator[Tensor]:
        """The batches of one epoch for process `rank` of `world`, int64 (batch_size,) each, len(self) //
        (batch_size * world) of them: a function of the generator's state and these numbers alone. Here, processes share
        the batches of one shuffle of all images."""
        order, total = torch.randperm(len(self), generator=generator), batch_size * world
        return (order[first : first + total][rank::world] for first in range(0, len(self) - total + 1, total))

    @abstractmethod
    def to(self, device: torch.device) -> "Rows":
        """The same rows on `device` where they are in memory and fit there with room to spare, else as they are."""


@final
class MemoryRows(Rows):
    """Rows in memory, or memory-mapped.

    Args:
        columns: ``image`` uint8 (N, C, H, W) and others of the same length.
        order: int64 (M,), which of the N images are the rows (None: all, in order).
    """

    def __init__(self, columns: dict[str, Column], order: Tensor | None = None) -> None:
        self.columns, self.order = columns, order

    def __len__(self) -> int:
        return len(self.columns["image"] if self.order is None else self.order)

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Batch]:
        for index in indices:
            yield self._take(index)

    def _take(self, index: Tensor) -> Any:
        index = index if self.order is None else self.order[index]
        there = send(index, self.columns["image"].device)  # type: ignore[union-attr]
        return {key: take(v, there if isinstance(v, Tensor) else index) for key, v in self.columns.items()}

    def to(self, device: torch.device) -> "MemoryRows":
        image = self.columns["image"]
        assert isinstance(image, Tensor)
        # A quarter of what is free: the model, its gradients and its activations need the rest.
        wanted = 4 * len(self) * image[0].numel()
        if device.type != "cuda" or wanted > torch.cuda.mem_get_info(device)[0]:
            return self
        rows = self._take(torch.arange(len(self)))
        return MemoryRows({key: v.to(device) if isinstance(v, Tensor) else v for key, v in rows.items()})


def take(column: Column, index: Tensor) -> Column:
    """The values of `column` at int64 `index`."""
    if isinstance(column, Tensor):
        return column[index.to(column.device)]
    return [column[i] for i in index.tolist()]


@final
class TrainLoader:
    """Shuffled training batches; stateful, so that a run resumes in mid-epoch at the very next batch.

    Args:
        rows: the training images.
        batch_size: images per process and batch; the incomplete last batch of an epoch is dropped.
        seed: of the shuffle and of the augmentation.
        rank: of this process.
        world: number of processes; they share every global batch without overlap.
        augment: applied to ``image`` (None: nothing).
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        augment: Augmentation | None = None,
    ) -> None:
        if not 1 <= batch_size <= len(rows) // world:
            raise UserError(
                f"data.batch_size is {batch_size}: want 1 to {len(rows) // world}, the training images of a process"
            )
        self.rows, self.batch_size, self.seed, self.rank, self.world = rows, batch_size, seed, rank, world
        self.augment = augment
        self.epoch = self.position = 0

    def __len__(self) -> int:
        return len(self.rows) // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[Batch]:
        if self.position >= len(self):
            self.epoch, self.position = self.epoch + 1, 0
        epoch, first = self.epoch, self.position
        generator = Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = self.rows.epoch(generator, self.rank, self.world, self.batch_size)
        own, ahead = tee(islice(order, first, None))
        for index, batch in zip(own, self.rows.batches(ahead), strict=True):
            if "text" in batch:
                batch["text"] = one_of_each(batch["text"], Draws(self.seed, epoch, index).integers(1 << 30))
            if self.augment is not None:
                batch["image"] = self.augment(batch["image"], Draws(self.seed, epoch, index))
                if "source" in batch:  # the same draws: a pair is never changed alone
                    batch["source"] = self.augment(batch["source"], Draws(self.seed, epoch, index))
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]


@final
class PlainLoader:
    """Images `start` to `stop` in their fixed order, without augmentation; can be iterated again.

    Args:
        rows: of a split.
        batch_size: 1 or more; the last batch may be smaller.
        start: first image.
        stop: one past the last image (None: to the end).
    """

    def __init__(self, rows: Rows, batch_size: int, start: int = 0, stop: int | None = None) -> None:
        check_counts("data", limit=1 << 20, batch_size=batch_size)
        self.rows, self.batch_size, self.start = rows, batch_size, start
        self.stop = len(rows) if stop is None else min(stop, len(rows))

    def __len__(self) -> int:
        return max(0, -((self.start - self.stop) // self.batch_size))

    def __iter__(self) -> Iterator[Batch]:
        firsts = range(self.start, self.stop, self.batch_size)
        indices = (torch.arange(first, min(first + self.batch_size, self.stop)) for first in firsts)
        return map(_first_captions, self.rows.batches(indices))


def one_of_each(texts: list[str], chance: Tensor) -> list[str]:
    """Choose one caption of each picture, whose captions are its lines, by int64 (B,), 0 or more."""
    lines = [text.split("\n") for text in texts]
    return [each[number % len(each)] for each, number in zip(lines, chance.tolist(), strict=True)]


def _first_captions(batch: Batch) -> Batch:
    if "text" in batch:
        batch["text"] = [text.partition("\n")[0] for text in batch["text"]]
    return batch
