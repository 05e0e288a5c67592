"""Small sets kept whole in memory as uint8; the order of an epoch is a function of (seed, epoch) alone."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property

import torch

from lightning_gen.base import Batch, ImageData, Split
from lightning_gen.errors import UserError

__all__ = ["MemoryImages", "MemoryLoader"]


def _slice(batch: Batch, index: slice | torch.Tensor) -> Batch:
    return {key: value[index] for key, value in batch.items()}


class MemoryLoader:
    """Shuffled training batches; stateful, so that a run resumes in mid-epoch at the very next batch.

    Args:
        images: the whole set, a dict of tensors of equal length.
        batch_size: images per process and batch; the incomplete last batch of an epoch is dropped.
        seed: of the shuffle.
        rank: of this process.
        world: number of processes; they share every global batch without overlap.
    """

    def __init__(self, images: Batch, batch_size: int, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        self.images, self.batch_size, self.seed, self.rank, self.world = images, batch_size, seed, rank, world
        self.count = len(images["image"])
        if not 1 <= batch_size <= self.count // world:
            raise UserError(f"data.batch_size is {batch_size}: want 1 to {self.count // world}")
        self.epoch = self.position = 0

    def __len__(self) -> int:
        return self.count // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[Batch]:
        if self.position >= len(self):
            self.epoch, self.position = self.epoch + 1, 0
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.count, generator=generator)
        total = self.batch_size * self.world
        while self.position < len(self):
            start = self.position * total
            self.position += 1
            yield _slice(self.images, order[start : start + total][self.rank :: self.world])

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]


class MemoryImages(ImageData):
    """A set that fits into memory.

    Args:
        batch_size: images per process and batch.
        seed: of the order of the training images.
    """

    def __init__(self, batch_size: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.batch_size, self.seed = batch_size, seed

    @abstractmethod
    def load(self) -> dict[Split, Batch]:
        """The three splits; called once."""

    @cached_property
    def splits(self) -> dict[Split, Batch]:
        return self.load()

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr(self.spec).encode())
        for split in sorted(self.splits):
            for key, value in sorted(self.splits[split].items()):
                digest.update(f"{split}.{key}{tuple(value.shape)}".encode() + value.numpy().tobytes())
        return digest.hexdigest()[:16]

    def size(self, split: Split) -> int:
        return len(self.splits[split]["image"])

    def batches(self, split: Split, batch_size: int, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        stop = self.size(split) if stop is None else min(stop, self.size(split))
        for first in range(start, stop, batch_size):
            yield _slice(self.splits[split], slice(first, min(first + batch_size, stop)))

    def train_dataloader(self) -> MemoryLoader:
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return MemoryLoader(self.splits["train"], self.batch_size, self.seed, rank, world)

    def val_dataloader(self) -> list[Batch]:
        return list(self.batches("val", self.batch_size))

    def test_dataloader(self) -> list[Batch]:
        return list(self.batches("test", self.batch_size))
