"""Data sets as rows by index, and the small ones whose rows are simply in memory."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import ImageData, Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.rows import Column, MemoryRows, PlainLoader, Rows, TrainLoader

__all__ = ["IndexedImages", "MemoryImages", "update"]


class IndexedImages(ImageData):
    """A set whose images are found by index.

    Args:
        batch_size: images per process and batch.
        seed: of the order and the augmentation of the training images; the splits are the same for every seed.
        augment: changes training images at random (None: not).
        on_device: keep the training images on the accelerator where they fill at most a quarter of what is free.
    """

    def __init__(
        self, batch_size: int = 64, seed: int = 0, augment: Augmentation | None = None, on_device: bool = True
    ) -> None:
        super().__init__()
        self.batch_size, self.seed, self.augment, self.on_device = batch_size, seed, augment, on_device

    @abstractmethod
    def rows(self, split: Split) -> Rows:
        """The images of `split`; the first call may read or decode files."""

    def size(self, split: Split) -> int:
        return len(self.rows(split))

    def batches(self, split: Split, batch_size: int, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        return iter(PlainLoader(self.rows(split), batch_size, start, stop))

    def setup(self, stage: str) -> None:
        """Open every split: a set that cannot be read is refused before training starts."""
        assert self.fingerprint

    def train_dataloader(self) -> TrainLoader:
        rows, rank, world = self.rows("train"), 0, 1
        if self.trainer:
            rank, world = self.trainer.global_rank, self.trainer.world_size
            rows = rows.to(self.trainer.strategy.root_device) if self.on_device else rows
        return TrainLoader(rows, self.batch_size, self.seed, rank, world, self.augment)

    def val_dataloader(self) -> PlainLoader:
        return PlainLoader(self.rows("val"), self.batch_size)

    def test_dataloader(self) -> PlainLoader:
        return PlainLoader(self.rows("test"), self.batch_size)


class MemoryImages(IndexedImages):
    """A set that is made or read at once and fits into memory."""

    @abstractmethod
    def load(self) -> Mapping[Split, dict[str, Column]]:
        """The three splits; called once."""

    @cached_property
    def splits(self) -> Mapping[Split, dict[str, Column]]:
        """Each split as columns: ``image`` and what belongs to it."""
        return self.load()

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr(self.spec.alone()).encode())
        for split in sorted(self.splits):
            for key, value in sorted(self.splits[split].items()):
                digest.update(f"{split}.{key}".encode())
                update(digest, value)
        return digest.hexdigest()[:16]

    def rows(self, split: Split) -> MemoryRows:
        return MemoryRows(self.splits[split])


def update(digest: Any, column: Column) -> None:
    """Add shape and values of a column to a digest, without a copy of the values."""
    if isinstance(column, Tensor):
        digest.update(f"{tuple(column.shape)}".encode())
        digest.update(column.contiguous().numpy())
    else:
        digest.update(f"({len(column)},)".encode() + "\0".join(column).encode())
