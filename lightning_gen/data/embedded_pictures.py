"""Super-resolution without any file: the two photos and the digits that come with scikit-learn.

SamplePhotos    a temple to train on, a flower to test on, 427x640 pixels each
DigitPairs      handwritten digits of 8x8 pixels from 4x4
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from typing import Literal, final

import torch
from torch import Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation, Draws
from lightning_gen.data.crops import Scene
from lightning_gen.data.decode import open_picture
from lightning_gen.data.degradation import Bicubic, Degradation
from lightning_gen.data.digits import Digits
from lightning_gen.data.large_pictures import CropImages
from lightning_gen.data.memory import MemoryImages, update
from lightning_gen.data.rows import Column
from lightning_gen.data.sides import read_as
from lightning_gen.images import ImageSpec

__all__ = ["DigitPairs", "SamplePhotos"]


@final
class SamplePhotos(CropImages):
    """The photos of scikit-learn: of ``china.jpg`` the left three quarters are for training, the rest for validation;
    ``flower.jpg`` is for testing. Arguments as `CropImages`."""

    def __init__(
        self,
        degradation: Degradation | None = None,
        crop: int = 48,
        channels: Literal[1, 3] = 3,
        batch_size: int = 16,
        seed: int = 0,
        augment: Augmentation | None = None,
    ) -> None:
        super().__init__(degradation, crop, channels, batch_size, seed, augment)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "sample_photos"

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self.channels, self.degradation_words)).encode())
        for split in ("train", "val", "test"):
            update(digest, self.scenes(split)[0].high)  # type: ignore[arg-type]
        return digest.hexdigest()[:16]

    def scenes(self, split: Split) -> list[Scene]:
        file = "flower.jpg" if split == "test" else "china.jpg"
        high, cut = self._photo(file), 480
        parts = {"train": high[:, :, :cut], "val": high[:, :, cut:], "test": high}
        return [Scene(file, parts[split].contiguous())]

    def _photo(self, file: str) -> Tensor:
        content = (resources.files("sklearn.datasets") / "images" / file).read_bytes()
        return read_as(open_picture(content, file), ImageSpec(self.channels, 1, 1), file)


@final
class DigitPairs(MemoryImages):
    """The digits of `Digits` as images, and as sources the same shrunk to 4x4, both of 17 levels.

    Args:
        degradation: makes the sources; of scale 2 (None: `Bicubic`).
        batch_size: pairs per process and batch.
        seed: of the order of the training pairs; the splits are the same for every seed.
    """

    def __init__(self, degradation: Degradation | None = None, batch_size: int = 64, seed: int = 0) -> None:
        super().__init__(batch_size, seed)
        self.degradation = degradation or Bicubic(2)

    @property
    def spec(self) -> ImageSpec:
        side = 8 // self.degradation.scale
        return ImageSpec(1, 8, 8, levels=17, classes=10, source=ImageSpec(1, side, side, levels=17))

    @property
    def name(self) -> str:  # type: ignore[override]
        return "digit_pairs"

    def load(self) -> Mapping[Split, dict[str, Column]]:
        return {split: self._with_sources(columns) for split, columns in Digits().load().items()}

    def _with_sources(self, columns: dict[str, Column]) -> dict[str, Column]:
        image = columns["image"]
        assert isinstance(image, Tensor)
        source = self.degradation(image, 17, Draws(0, 0, torch.arange(len(image))))
        return {**columns, "source": source}
