"""Sets for super-resolution: crops of large pictures beside small ones that are made of them.

CropImages       what they share
LargePictures    your own pictures, in folders or zip files
"""

import hashlib
from abc import abstractmethod
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal, final, get_args

from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import Split, SuperResolutionData
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.crops import CropRows, Scene
from lightning_gen.data.decode import open_picture
from lightning_gen.data.degradation import Bicubic, Degradation
from lightning_gen.data.files import DEFAULT_LOADER, Loader
from lightning_gen.data.folders import check_share, held_out
from lightning_gen.data.layout import splits
from lightning_gen.data.memory import IndexedImages
from lightning_gen.data.sides import read_as
from lightning_gen.data.sources import WANTED, Joined, Source, tree
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.threads import computing_threads

__all__ = ["CropImages", "LargePictures"]


class CropImages(IndexedImages, SuperResolutionData):
    """Large pictures, held in memory as uint8.

    Args:
        degradation: makes the small pictures; its scale is the set's (None: `Bicubic` by 4).
        crop: side of the crops of the large pictures, pixels, a multiple of the scale.
        channels: 1 makes grey (ITU-R 601 luma), 3 makes RGB.
        batch_size: crops per process and batch.
        seed: of the order, places and augmentation of the training crops.
        augment: the same change of both sides (None: none).
    """

    def __init__(
        self,
        degradation: Degradation | None = None,
        crop: int = 96,
        channels: Literal[1, 3] = 3,
        batch_size: int = 16,
        seed: int = 0,
        augment: Augmentation | None = None,
    ) -> None:
        super().__init__(batch_size, seed, augment, on_device=False)
        self.degradation = degradation or Bicubic(4)
        check_counts("data", crop=crop)
        if crop % self.scale or channels not in (1, 3):
            raise UserError(f"data.crop is {crop}, channels {channels}: want a multiple of {self.scale}, and 1 or 3")
        self.crop, self.channels = crop, channels

    @property
    def scale(self) -> int:
        return self.degradation.scale

    @property
    def degradation_words(self) -> str:
        return str(self.degradation)

    @property
    def spec(self) -> ImageSpec:
        small = self.crop // self.scale
        return ImageSpec(self.channels, self.crop, self.crop, source=ImageSpec(self.channels, small, small))

    @abstractmethod
    def scenes(self, split: Split) -> list[Scene]:
        """The pictures of a split, decoded, each with its given small one, if any."""

    @cached_property
    def _rows(self) -> dict[Split, CropRows]:
        return {}

    def rows(self, split: Split) -> CropRows:
        if split not in self._rows:
            self._rows[split] = CropRows(self.scenes(split), self.crop, self.degradation)
        return self._rows[split]

    def setup(self, stage: str) -> None:
        super().setup(stage)
        for split in get_args(Split):
            assert self.rows(split)

    def pictures(self, split: Split) -> int:
        return len(self.rows(split).scenes)

    def picture(self, split: Split, index: int) -> Batch:
        return self.rows(split).whole(index)


@final
class LargePictures(CropImages):
    """Your own large pictures, of any sizes.

    Where small pictures are given too, they are taken instead of what `degradation` would make; it then says their
    scale and, in the identity of numbers, how they came about. A small picture has the name of its large one, with or
    without ``x4``, the scale, at its end.

    Args:
        root: folder or zip file of large pictures, with or without ``train``, ``val`` and ``test`` in it.
        low: the same of the small ones of all of them (None: made by `degradation`).
        test: folder or zip file of the large pictures of the test split, all of them (None: those of `root`).
        test_low: the small ones of `test` (None: made).
        degradation: see `CropImages`, as are `crop`, `channels`, `batch_size`, `seed` and `augment`.
        share: of the training pictures, for each split that is cut from them, above 0, below 0.5.
        split_seed: of that cut.
        loader: threads that decode, and megabytes that the decoded pictures of a split may fill.

    Raises:
        UserError: no pictures; one smaller than a crop; one without its small one, or with one of another size.
    """

    def __init__(
        self,
        root: str,
        low: str | None = None,
        test: str | None = None,
        test_low: str | None = None,
        degradation: Degradation | None = None,
        crop: int = 96,
        channels: Literal[1, 3] = 3,
        share: float = 0.1,
        split_seed: int = 0,
        loader: Loader = DEFAULT_LOADER,
        batch_size: int = 16,
        seed: int = 0,
        augment: Augmentation | None = None,
    ) -> None:
        check_share(share)
        super().__init__(degradation, crop, channels, batch_size, seed, augment)
        if test_low and not test:
            raise UserError(f"data.test_low is {test_low}: want data.test beside it")
        self.root, self.share, self.split_seed, self.loader = Path(root).expanduser(), share, split_seed, loader
        self.low, self.test, self.test_low = (Path(p).expanduser() if p else None for p in (low, test, test_low))
        assert self._high  # a wrong root is refused at once
        assert self._lows is not None

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.root.resolve().stem + (f"_{self.test.resolve().stem}" if self.test else "")

    @cached_property
    def _high(self) -> dict[Split, tuple[Source, list[int]]]:
        """The files of each split, and which of them."""
        parts = dict(splits(self.root))
        if self.test:
            parts["test"] = _pictures(self.test, "test")
        names: dict[Split, list[str]] = {split: list(part.names) for split, part in parts.items()}
        source = Joined(parts)
        return {
            split: (source, index.tolist()) for split, index in held_out(names, self.share, self.split_seed).items()
        }

    @cached_property
    def _lows(self) -> dict[str, tuple[Source, int]]:
        """The small pictures that are given, by split folder and name of the large one."""
        found: dict[str, tuple[Source, int]] = {}
        if self.low:
            for split, part in splits(self.low).items():
                found |= self._by_stem(part, split)
        if self.test_low:
            found |= self._by_stem(_pictures(self.test_low, "test_low"), "test")
        return found

    def _by_stem(self, part: Source, split: str) -> dict[str, tuple[Source, int]]:
        ending = f"x{self.scale}"
        stems = (str(PurePosixPath(name).with_suffix("")) for name in part.names)
        return {f"{split}/{stem.removesuffix(ending)}": (part, i) for i, stem in enumerate(stems)}

    @cached_property
    def fingerprint(self) -> str:
        about = (self.channels, self.degradation_words)  # not the crop: numbers are of whole pictures
        digest = hashlib.sha256(repr(about).encode())
        for split, (source, indices) in sorted(self._high.items()):
            sums = list(source.checksums())
            digest.update("\n".join([split, *(f"{source.names[i]} {sums[i]}" for i in indices)]).encode())
        for name, (part, i) in sorted(self._lows.items()):
            digest.update(f"{name} {list(part.checksums())[i]}".encode())
        return digest.hexdigest()[:16]

    @property
    def degradation_words(self) -> str:
        given = sorted({name.partition("/")[0] for name in self._lows})
        return f"{self.degradation}, files of {' and '.join(given)}" if given else str(self.degradation)

    def scenes(self, split: Split) -> list[Scene]:
        source, indices = self._high[split]
        with computing_threads(self.loader.threads) as pool:
            found = []
            room = self.loader.memory << 20
            for scene in pool.map(lambda i: self._scene(source, i), indices):
                room -= scene.high.numel()
                if room < 0:
                    raise UserError(f"data.loader.memory is {self.loader.memory}: {split} wants more megabytes")
                found.append(scene)
        return found

    def _scene(self, source: Source, index: int) -> Scene:
        name = source.names[index]
        stem = str(PurePosixPath(name).with_suffix(""))
        high, place = self._read(source, index), self._lows.get(stem)
        given = bool(self.low) or (bool(self.test_low) and name.startswith("test/"))
        if place is None and given:
            raise UserError(f"picture {name} has no small one: want equal names in both folders")
        return Scene(name, high, self._read(*place) if place else None)

    def _read(self, source: Source, index: int) -> Tensor:
        name = source.names[index]
        return read_as(open_picture(source.read(index), name), ImageSpec(self.channels, 1, 1), name)


def _pictures(path: Path, argument: str) -> Source:
    if not path.exists():
        raise UserError(f"data.{argument} is {path}, which does not exist: {WANTED}")
    found = tree(path)
    if not found.names:
        raise UserError(f"data.{argument} is {path}: {WANTED}")
    return found
