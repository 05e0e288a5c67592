"""A data set: its spec, its name, and three splits as tensors."""

from collections.abc import Mapping

import torch

from lightning_gen.contracts import Split
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.images import ImageSpec


class Stripes(MemoryImages):
    """Pictures of 4x4 pixels in 4 levels, each row of one level; the label says whether the first row is dark."""

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(1, 4, 4, levels=4, classes=2)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "stripes"

    def load(self) -> Mapping[Split, dict[str, Column]]:
        rows = torch.randint(0, 4, (160, 1, 4, 1), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
        image = rows.expand(-1, 1, 4, 4).contiguous()  # (160, 1, 4, 4)
        columns: dict[str, Column] = {"image": image, "label": (image[:, 0, 0, 0] < 2).long()}
        cuts: dict[Split, slice] = {"train": slice(0, 96), "val": slice(96, 128), "test": slice(128, 160)}
        return {split: {key: value[cut] for key, value in columns.items()} for split, cut in cuts.items()}
