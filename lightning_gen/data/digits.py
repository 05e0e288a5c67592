"""Handwritten digits that come with scikit-learn: real, embedded, small."""

from typing import final

import torch
from sklearn.datasets import load_digits

from lightning_gen.contracts import Split
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.images import ImageSpec

__all__ = ["Digits"]


@final
class Digits(MemoryImages):
    """1,797 digits, 8x8, 17 grey levels, 10 classes (Alpaydin and Kaynak 1998); 1,297 train, 200 val, 300 test.

    Args:
        batch_size: images per process and batch.
        seed: of the order of the training images; the splits are the same for every seed.
    """

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(1, 8, 8, levels=17, classes=10)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "digits"

    def load(self) -> dict[Split, dict[str, Column]]:
        digits = load_digits()
        order = torch.randperm(len(digits.images), generator=torch.Generator().manual_seed(0))
        image = torch.from_numpy(digits.images).to(torch.uint8).unsqueeze(1)[order]
        label = torch.from_numpy(digits.target).long()[order]
        cuts: dict[Split, slice] = {"train": slice(0, 1297), "val": slice(1297, 1497), "test": slice(1497, 1797)}
        return {split: {"image": image[cut], "label": label[cut]} for split, cut in cuts.items()}
