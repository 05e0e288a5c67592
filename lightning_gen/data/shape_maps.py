"""Drawn label maps of shapes and the one picture that each means."""

from collections.abc import Mapping
from colorsys import hsv_to_rgb
from typing import final

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.data.shapes import KINDS, render
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["ShapeMaps"]


#: of the maps as pictures: black, and the hue of each class
_HUES = [hsv_to_rgb(k / len(KINDS), 0.75, 0.9) for k in range(len(KINDS))]
_PALETTE = ((0, 0, 0), *(tuple(round(255 * v) for v in colour) for colour in _HUES))


@final
class ShapeMaps(MemoryImages):
    """Label maps of shapes and the coloured shapes that they mean; each class has a colour of its own, so the one true
    picture of a map is known. The source has one channel: 0 background, k + 1 a shape of class k.

    Args:
        size: height and width, 8 to 64 pixels.
        images: training pairs, 1 or more; 256 for validation and 256 for testing.
        batch_size: pairs per process and batch.
        seed: of the order of the training pairs.
        augment: the same change of both (None: none).
        on_device: see `IndexedImages`.
    """

    def __init__(
        self,
        size: int = 32,
        images: int = 2000,
        batch_size: int = 16,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        if not 8 <= size <= 64:
            raise UserError(f"data.size is {size}: want 8 to 64 pixels")
        check_counts("data", images=images)
        super().__init__(batch_size, seed, augment, on_device)
        self.side, self.images = size, images

    @property
    def spec(self) -> ImageSpec:
        source = ImageSpec(1, self.side, self.side, len(KINDS) + 1, palette=_PALETTE)
        return ImageSpec(3, self.side, self.side, classes=len(KINDS), source=source)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "shape_maps"

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(KINDS)

    @property
    def exact_names(self) -> tuple[str, ...]:
        return ("colour_accuracy",)

    def exact(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """1 where the mean colour inside the shape is nearest to that of the shape's class, else 0. A map without a
        shape, too small to be seen, counts as right."""
        inside = batch["source"] > 0  # (B, 1, H, W)
        pixels = inside.flatten(1).sum(1)
        mean = (output.double() * inside).flatten(2).sum(2) / pixels[:, None].clamp(min=1)  # (B, 3)
        colours = torch.tensor(_PALETTE[1:], dtype=torch.float64, device=output.device)
        nearest = torch.cdist(mean, colours).argmin(1)
        kind = batch["source"].flatten(1).amax(1).long() - 1
        return {"colour_accuracy": ((nearest == kind) | (pixels == 0)).double()}

    def load(self) -> Mapping[Split, dict[str, Column]]:
        counts: dict[Split, int] = {"train": self.images, "val": 256, "test": 256}
        return {split: self._draw(count, i) for i, (split, count) in enumerate(counts.items())}

    def _draw(self, count: int, seed: int) -> dict[str, Column]:
        generator = torch.Generator().manual_seed(1000 + seed)
        kind = torch.randint(len(KINDS), (count,), generator=generator)
        u = torch.rand(count, 4, generator=generator, dtype=torch.float64)
        size = 0.35 + 0.3 * u[:, 0]
        x, y = (2 * u[:, 1] - 1) * (1 - size), (2 * u[:, 2] - 1) * (1 - size)
        hue, turn = 2 * torch.pi * kind / len(KINDS), 2 * torch.pi * u[:, 3]
        order = torch.tensor([min(order, 1) for _, order in KINDS.values()])[kind]
        turn = turn * order
        light = torch.zeros(count, dtype=torch.float64)
        attributes = torch.stack([hue.cos(), hue.sin(), size, x, y, turn.cos(), turn.sin(), light], 1).float()
        image = render(kind, attributes, self.side)
        empty = image[:, :, :1, :1].int()  # shapes stay inside: a corner is background
        inside = (image.int() - empty).abs().amax(1, keepdim=True) > 40  # (B, 1, H, W)
        source = (inside * (kind + 1)[:, None, None, None]).to(torch.uint8)
        return {"image": image, "source": source, "label": kind}
