"""Sets of picture files: decoded once into memory where they are small, else on the way by a few threads."""

import hashlib
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, final
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.decode import Frame, open_picture
from lightning_gen.data.levels import Levels
from lightning_gen.data.memory import IndexedImages, update
from lightning_gen.data.rows import Column, MemoryRows, Rows, take
from lightning_gen.data.sources import Source
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.threads import computing_threads

__all__ = ["DEFAULT_LOADER", "Catalogue", "FileImages", "FileRows", "Loader", "Pictures"]

_AHEAD = 4  # batches that are decoded while one is used
#: fingerprint -> decoded pictures: two objects of the same set in one process share them while one of them lives
_DECODED: WeakValueDictionary[str, MemoryRows] = WeakValueDictionary()


@final
class Pictures:
    """Decodes pictures by number; safe to call from several threads.

    Args:
        source: of the files.
        frame: what each becomes.
        shape: (C, H, W) of all.
        levels: fewer than 256 (None: 256).
    """

    def __init__(self, source: Source, frame: Frame, shape: tuple[int, int, int], levels: Levels | None = None) -> None:
        self.source, self.frame, self.shape, self.levels = source, frame, shape, levels

    def __call__(self, index: int) -> Tensor:
        """Number of a picture -> uint8 (C, H, W)."""
        name = self.source.names[index]
        image = self.frame(open_picture(self.source.read(index), name), self.shape, name)
        return self.levels(image[None], torch.tensor([index]))[0] if self.levels else image


@final
class FileRows(Rows):
    """Rows decoded on the way, by threads that read ahead. The images do not depend on how many there are.

    Args:
        pictures: of all splits.
        columns: what belongs to each picture, such as ``label``.
        order: int64 (M,), which pictures are the rows.
        threads: that decode, 1 or more.
    """

    def __init__(self, pictures: Pictures, columns: dict[str, Column], order: Tensor, threads: int) -> None:
        self.pictures, self.columns, self.order, self.threads = pictures, columns, order, threads

    def __len__(self) -> int:
        return len(self.order)

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Any]:
        pool = computing_threads(self.threads)
        waiting: deque[tuple[Tensor, list[Future[Tensor]]]] = deque()
        try:
            for index in indices:
                places = self.order[index]
                waiting.append((places, [pool.submit(self.pictures, i) for i in places.tolist()]))
                if len(waiting) > _AHEAD:
                    yield self._batch(*waiting.popleft())
            while waiting:
                yield self._batch(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch(self, places: Tensor, images: list[Future[Tensor]]) -> dict[str, Column]:
        columns = {key: take(value, places) for key, value in self.columns.items()}
        return {"image": torch.stack([image.result() for image in images]), **columns}

    def to(self, device: torch.device) -> "FileRows":
        return self

    def in_memory(self) -> Tensor:
        """uint8 (M, C, H, W): all rows, decoded now."""
        image = torch.empty(len(self), *self.pictures.shape, dtype=torch.uint8)
        first = 0
        for batch in self.batches(torch.arange(len(self)).split(64)):
            image[first : first + len(batch["image"])] = batch["image"]
            first += len(batch["image"])
        return image


@dataclass(frozen=True)
class Loader:
    """How picture files become pixels in memory. The images do not depend on it.

    Args:
        memory: megabytes; a set whose pixels fit is decoded once, before training, else in each epoch. 0: always.
        threads: that decode, 1 or more.

    Raises:
        UserError: a value is out of range.
    """

    memory: int = 1024
    threads: int = 4

    def __post_init__(self) -> None:
        if self.memory < 0:
            raise UserError(f"data.loader.memory is {self.memory}: want 0 or more megabytes")
        check_counts("data.loader", threads=self.threads)


DEFAULT_LOADER = Loader()


class Catalogue(NamedTuple):
    """The pictures of a set before any is decoded: files, what belongs to each, and which are in each split."""

    source: Source
    columns: dict[str, Column]
    splits: Mapping[Split, Tensor]


class FileImages(IndexedImages):
    """A set of picture files.

    Args:
        frame: what each picture becomes.
        levels: fewer than 256, as a class (None: 256).
        loader: how the files are decoded.
        batch_size: see `IndexedImages`, as are `seed`, `augment` and `on_device`.
    """

    def __init__(
        self,
        frame: Frame,
        levels: Levels | None = None,
        loader: Loader = DEFAULT_LOADER,
        batch_size: int = 64,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        super().__init__(batch_size, seed, augment, on_device)
        self.frame, self.levels, self.loader = frame, levels, loader

    @property
    @abstractmethod
    def catalogue(self) -> Catalogue:
        """Files, columns and splits; the first call may list folders or download."""

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        if self.frame.fixed:
            return self.frame.fixed
        source = self.catalogue.source
        return self.frame.shape(open_picture(source.read(0), source.names[0]))

    @property
    def spec(self) -> ImageSpec:
        levels = self.levels.levels if self.levels else 256
        return ImageSpec(*self.shape, levels, len(self.class_names), len(self.attribute_names), text=self.captioned)

    @property
    def captioned(self) -> bool:
        """Whether captions come with the images."""
        return False

    @cached_property
    def fingerprint(self) -> str:
        """Over what the files hold (size and CRC-32 of each), not over pixels: it needs no decoding, and it is the
        same for a folder and for a zip file of it. A folder of more than 4 GiB counts by names and sizes alone."""
        source, columns, splits = self.catalogue
        levels = {type(self.levels).__name__: vars(self.levels)} if self.levels else {}
        digest = hashlib.sha256(repr((self.spec.alone(), vars(self.frame), levels, self.class_names)).encode())
        checksums = list(source.checksums())
        for split in sorted(splits):
            order = splits[split]
            digest.update("\n".join([split, *(f"{source.names[i]} {checksums[i]}" for i in order.tolist())]).encode())
            for key, value in sorted(columns.items()):
                digest.update(key.encode())
                update(digest, take(value, order))
        return digest.hexdigest()[:16]

    @cached_property
    def _whole(self) -> Rows:
        """All pictures of all splits: a damaged one in a small set is found before training starts."""
        source, columns, _ = self.catalogue
        pictures = Pictures(source, self.frame, self.shape, self.levels)
        rows = FileRows(pictures, columns, torch.arange(len(source.names)), self.loader.threads)
        if len(rows) * self.spec.dims > self.loader.memory << 20:
            return rows
        decoded = _DECODED.get(self.fingerprint) or MemoryRows({"image": rows.in_memory(), **columns})
        _DECODED[self.fingerprint] = decoded
        return decoded

    def rows(self, split: Split) -> Rows:
        whole, order = self._whole, self.catalogue.splits[split]
        if isinstance(whole, MemoryRows):
            return MemoryRows(whole.columns, order)
        assert isinstance(whole, FileRows)
        return FileRows(whole.pictures, whole.columns, order, self.loader.threads)
