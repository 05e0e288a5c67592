"""A procedural set of coloured shapes: every picture is a known function of its class and its attributes.

A shape is drawn from its signed distance, in units of its own radius, which makes edges smooth at every resolution.
All arithmetic is float64 and rounded once, all randomness is integers of a CPU generator: the same pictures everywhere.
"""

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import DescribedAttribute, DescribedData, Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.levels import Levels
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column, take
from lightning_gen.data.shape_captions import (
    BACKGROUNDS,
    DESCRIBED,
    HUES,
    PLACES,
    SIZES,
    attributes_within,
    sentences,
    words_of,
)
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["ATTRIBUTES", "KINDS", "Shapes", "draw_attributes", "render"]

#: columns of ``attributes``: cosine and sine of the hue (red at angle 0, green at 120 degrees); radius of the shape
#: as a fraction of half the image; position of its centre, -1..1 from left to right and from bottom to top; cosine and
#: sine of k times its rotation, k being the order of the shape's symmetry (1 and 0 for disc and ring, which have none);
#: lightness of the background, 0 dark slate to 1 cream
ATTRIBUTES = ("hue_cos", "hue_sin", "size", "x", "y", "rotation_cos", "rotation_sin", "background")

_DARK, _LIGHT = (24.0, 28.0, 38.0), (244.0, 240.0, 232.0)


def _disc(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 0.9


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.7).abs() - 0.22


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.7


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    third = 2 * math.pi / 3
    angle = torch.remainder(torch.atan2(x, y), third) - third / 2  # a tip points up
    return torch.hypot(x, y) * angle.cos() - 0.5


def _star(x: Tensor, y: Tensor) -> Tensor:
    fifth, inner = 2 * math.pi / 5, 0.45
    angle = (torch.remainder(torch.atan2(x, y) + fifth / 2, fifth) - fifth / 2).abs()  # 0 at a tip, fifth / 2 between
    radius = torch.hypot(x, y)
    # The edge runs from the tip (1, 0) to the notch; the distance is the cross product with its direction.
    across, along = inner * math.sin(fifth / 2), inner * math.cos(fifth / 2) - 1
    return (across * (radius * angle.cos() - 1) - along * radius * angle.sin()) / math.hypot(across, along)


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 0.92, y - 0.3), torch.maximum(x - 0.3, y - 0.92))


def _heart(x: Tensor, y: Tensor) -> Tensor:
    side = 0.5  # a square on its corner, and a disc on each of its upper edges
    y = y - 0.1
    u, v = (x + y) / math.sqrt(2), (y - x) / math.sqrt(2)
    square = torch.maximum(u.abs(), v.abs())
    discs = torch.minimum(torch.hypot(u - side, v), torch.hypot(u, v - side))
    return torch.minimum(square, discs) - side


def _crescent(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(torch.hypot(x, y) - 0.92, 0.72 - torch.hypot(x - 0.42, y))


#: class name -> (signed distance in the unit frame, negative inside; order of the rotational symmetry, 0: any angle)
KINDS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "disc": (_disc, 0),
    "ring": (_ring, 0),
    "square": (_square, 4),
    "triangle": (_triangle, 3),
    "star": (_star, 5),
    "cross": (_cross, 4),
    "heart": (_heart, 1),
    "crescent": (_crescent, 1),
}


def render(kind: Tensor, attributes: Tensor, size: int) -> Tensor:
    """Draw shapes.

    Args:
        kind: int64 (B,), index into `KINDS`.
        attributes: float (B, 8), see `ATTRIBUTES`.
        size: height and width in pixels.

    Returns:
        uint8 (B, 3, size, size), values 0..255.
    """
    hue_cos, hue_sin, radius, x, y, turn_cos, turn_sin, light = attributes.double().unbind(1)
    line = (torch.arange(size, dtype=torch.float64) * 2 + 1) / size - 1
    cover = torch.empty(len(kind), size, size, dtype=torch.float64)
    for index, (distance, order) in enumerate(KINDS.values()):
        (which,) = torch.where(kind == index)
        turn = torch.atan2(turn_sin[which], turn_cos[which])[:, None, None] / max(order, 1)
        across = (line[None, None, :] - x[which, None, None]) / radius[which, None, None]
        up = (-line[None, :, None] - y[which, None, None]) / radius[which, None, None]
        inside = -distance(across * turn.cos() + up * turn.sin(), up * turn.cos() - across * turn.sin())
        cover[which] = (0.5 + inside * radius[which, None, None] * (size / 2)).clamp(0, 1)  # edges one pixel wide
    front = _colour(torch.atan2(hue_sin, hue_cos) / (2 * math.pi))
    dark, bright = torch.tensor(_DARK).double(), torch.tensor(_LIGHT).double()
    back = dark + (bright - dark) * light[:, None]
    image = back[:, :, None, None] + (front - back)[:, :, None, None] * cover[:, None]
    return image.round().to(torch.uint8)


def _colour(hue: Tensor) -> Tensor:
    """(B,) in turns -> (B, 3), 0..255, at saturation 0.75 and value 0.9."""
    phase = torch.remainder(hue[:, None] * 6 + torch.tensor([5.0, 3.0, 1.0]), 6)
    return 255 * 0.9 * (1 - 0.75 * torch.minimum(phase, 4 - phase).clamp(0, 1))


@final
class Shapes(MemoryImages, DescribedData):
    """Coloured shapes, RGB, 8 classes, 8 `ATTRIBUTES` and a caption; 1,000 val and 2,000 test images.

    Args:
        size: height and width, 8..64 pixels.
        images: training images, 1 or more; fewer are a prefix of more.
        drawing: seed of the pictures; each value is another set.
        batch_size: images per process and batch.
        seed: of the order of the training images.
        augment: see `IndexedImages`; a flip would make attributes and captions wrong.
        on_device: see `IndexedImages`.
        levels: fewer levels than 256 (None: all); with 8, likelihood models learn in minutes what takes hours with 256.
        held_out: combinations of words, such as ``red star``, of which no training picture is shown; val and test keep
            theirs.

    Raises:
        UserError: captions have no such word.
    """

    def __init__(
        self,
        size: int = 32,
        images: int = 10000,
        drawing: int = 0,
        batch_size: int = 64,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
        levels: Levels | None = None,
        held_out: Sequence[str] = (),
    ) -> None:
        if not 8 <= size <= 64:
            raise UserError(f"data.size is {size}: want 8 to 64 pixels")
        check_counts("data", limit=10_000_000, images=images)
        super().__init__(batch_size, seed, augment, on_device)
        self.pixels, self.images, self.drawing, self.levels = size, images, drawing, levels
        self.held_out = _checked(held_out)

    @property
    def spec(self) -> ImageSpec:
        levels = self.levels.levels if self.levels else 256
        return ImageSpec(3, self.pixels, self.pixels, levels, classes=len(KINDS), attributes=len(ATTRIBUTES), text=True)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "shapes"

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(KINDS)

    @property
    def attribute_names(self) -> tuple[str, ...]:
        return ATTRIBUTES

    def load(self) -> dict[Split, dict[str, Column]]:
        counts: dict[Split, int] = {"train": self.images, "val": 1000, "test": 2000}
        found = {split: self._draw(count, self.drawing * 3 + i) for i, (split, count) in enumerate(counts.items())}
        if self.held_out:
            (kept,) = torch.where(~self.left_out(found["train"]["text"]))  # type: ignore[arg-type]
            found["train"] = {key: take(column, kept) for key, column in found["train"].items()}
        return found

    def _draw(self, count: int, seed: int) -> dict[str, Column]:
        bits = torch.randint(1 << 24, (count, 8), generator=torch.Generator().manual_seed(seed))
        kind = bits[:, 0] % len(KINDS)
        attributes = draw_attributes(kind, bits[:, 1:].double() / (1 << 24))
        image = self._pictures(kind, attributes)
        return {"image": image, "label": kind, "attributes": attributes, "text": captions(kind, attributes)}

    def _pictures(self, kind: Tensor, attributes: Tensor) -> Tensor:
        parts = zip(kind.split(512), attributes.split(512), strict=True)  # float64 pictures, a few at a time
        image = torch.cat([render(k, a, self.pixels) for k, a in parts])
        return self.levels(image, torch.arange(len(kind))) if self.levels else image

    @property
    def described(self) -> tuple[DescribedAttribute, ...]:
        return DESCRIBED

    def described_in(self, batch: Batch) -> Tensor:
        return words_of(batch["label"].cpu(), batch["attributes"].cpu())

    def left_out(self, texts: list[str]) -> Tensor:
        return torch.tensor([any(words <= set(text.split()) for words in self.held_out) for text in texts])

    def draw_described(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        kind = torch.randint(len(KINDS), (count,), generator=generator)
        attributes = draw_attributes(kind, torch.rand(count, 7, generator=generator, dtype=torch.float64))
        return self._pictures(kind, attributes), words_of(kind, attributes)

    def redraw(self, words: Tensor, seed: int) -> Tensor:
        u = torch.rand(len(words), 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        turns = torch.tensor([float(order > 0) for _, order in KINDS.values()], dtype=torch.float64)[words[:, 2]]
        return self._pictures(words[:, 2], attributes_within(words, turns, u))


def draw_attributes(kind: Tensor, u: Tensor) -> Tensor:
    """Turn uniform numbers into `ATTRIBUTES`: hue, size, position, rotation and background.

    Args:
        kind: int64 (B,), index into `KINDS`.
        u: float64 (B, 7), 0..1.

    Returns:
        float32 (B, 8).
    """
    hue, turn = u[:, 0] * 2 * math.pi, u[:, 4] * 2 * math.pi
    turn = turn * torch.tensor([min(order, 1) for _, order in KINDS.values()])[kind]
    size = 0.3 + 0.35 * u[:, 1]
    reach = 1 - size  # the whole shape stays inside the picture
    x, y = (2 * u[:, 2] - 1) * reach, (2 * u[:, 3] - 1) * reach
    light = 0.2 * u[:, 5] + 0.8 * (u[:, 6] < 0.5)  # dark or light: on a grey background half the hues would vanish
    return torch.stack([hue.cos(), hue.sin(), size, x, y, turn.cos(), turn.sin(), light], 1).float()


def captions(kind: Tensor, attributes: Tensor) -> list[str]:
    """One English sentence per shape: size, hue, class, place, background."""
    return sentences(words_of(kind, attributes), list(KINDS))


def _checked(held_out: Sequence[str]) -> tuple[frozenset[str], ...]:
    """Each combination as a set of words, all of which captions have."""
    known = {word for text in (*SIZES, *HUES, *PLACES, *BACKGROUNDS, *KINDS) for word in text.split()}
    for combination in held_out:
        strange = [word for word in combination.split() if word not in known]
        if strange or not combination.split():
            raise UserError(f"data.held_out has {combination!r}: want words of captions, such as 'red star'")
    return tuple(frozenset(combination.split()) for combination in held_out)
