"""Pairs of a source and an image: two halves of one picture, and drawn label maps with their shapes."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal, final

import torch
from PIL import Image
from torch import Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.decode import open_picture
from lightning_gen.data.folders import check_share, held_out
from lightning_gen.data.layout import splits
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.data.shapes import KINDS, render
from lightning_gen.data.sources import Joined
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["ShapeMaps", "SideBySide"]


@final
class SideBySide(MemoryImages):
    """Pictures whose left and right half show the same scene, as the sets of Pix2Pix come: facades, maps, edges.

    Both halves are resized alike, cut alike and, in training, augmented alike. All pictures are decoded at once.

    Args:
        root: folder or zip file of pictures, with or without ``train``, ``val`` and ``test`` in it.
        size: height and width of each half in pixels.
        source: which half is translated into the other.
        share: of the training pictures, for each split that is cut from them, above 0, below 0.5.
        split_seed: of that cut.
        batch_size: pairs per process and batch.
        seed: of the order and the augmentation of the training pairs.
        augment: the same change of both halves (None: none).
        on_device: see `IndexedImages`.

    Raises:
        UserError: no pictures, or one of an odd width.
    """

    def __init__(
        self,
        root: str,
        size: int = 128,
        source: Literal["left", "right"] = "right",
        share: float = 0.1,
        split_seed: int = 0,
        batch_size: int = 4,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        check_share(share)
        check_counts("data", size=size)
        super().__init__(batch_size, seed, augment, on_device)
        self.root, self.side, self.source_half = Path(root).expanduser(), size, source
        self.share, self.split_seed = share, split_seed
        assert self._parts  # a wrong root is refused at once

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(3, self.side, self.side, source=ImageSpec(3, self.side, self.side))

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.root.resolve().stem

    @cached_property
    def _parts(self) -> Joined:
        return Joined(splits(self.root))

    def load(self) -> Mapping[Split, dict[str, Column]]:
        files = self._parts
        parts = splits(self.root)
        names: dict[Split, list[str]] = {split: list(part.names) for split, part in parts.items()}
        halves = [self._halves(files.read(i), name) for i, name in enumerate(files.names)]
        left, right = (torch.stack(half) for half in zip(*halves, strict=True))
        source, image = (left, right) if self.source_half == "left" else (right, left)
        return {
            split: {"image": image[index], "source": source[index]}
            for split, index in held_out(names, self.share, self.split_seed).items()
        }

    def _halves(self, content: bytes, name: str) -> tuple[Tensor, Tensor]:
        """Both halves of a picture, uint8 (3, size, size)."""
        picture = open_picture(content, name).convert("RGB")
        if picture.width % 2:
            raise UserError(f"picture {name} is {picture.width} pixels wide: want two halves of equal width")
        middle = picture.width // 2
        boxes = ((0, 0, middle, picture.height), (middle, 0, picture.width, picture.height))
        left, right = (self._square(picture.crop(box)) for box in boxes)
        return left, right

    def _square(self, half: Image.Image) -> Tensor:
        resized = half.resize((self.side, self.side), Image.Resampling.BICUBIC)
        flat = torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8)
        return flat.view(self.side, self.side, 3).permute(2, 0, 1)


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
        source = ImageSpec(1, self.side, self.side, len(KINDS) + 1)
        return ImageSpec(3, self.side, self.side, classes=len(KINDS), source=source)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "shape_maps"

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(KINDS)

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
