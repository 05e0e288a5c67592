"""What captions of shapes say: size, hue, kind, place and background, each as one of a few words."""

import math

import torch
from torch import Tensor

from lightning_gen.contracts import DescribedAttribute

__all__ = ["BACKGROUNDS", "DESCRIBED", "HUES", "PLACES", "SIZES", "attributes_within", "sentences", "words_of"]

SIZES = ("small", "medium", "large")
PLACES: tuple[str, ...] = ("at the top left", "at the top", "at the top right")
PLACES += ("at the left", "in the middle", "at the right")
PLACES += ("at the bottom left", "at the bottom", "at the bottom right")
HUES = ("red", "orange", "yellow", "lime", "green", "mint", "cyan", "azure", "blue", "violet", "magenta", "rose")
BACKGROUNDS = ("dark", "light")
_KINDS = 8


def _steps(count: int, circular: bool = False) -> Tensor:
    """Bool (count, count): whether one word is at most one step from the other."""
    away = (torch.arange(count)[:, None] - torch.arange(count)).abs()
    return (torch.minimum(away, count - away) if circular else away) <= 1


def _places() -> Tensor:
    near = _steps(3)
    return (near[:, None, :, None] & near[None, :, None, :]).reshape(9, 9)  # rows and columns


#: in the order of `words_of`
DESCRIBED = (
    DescribedAttribute("size", _steps(len(SIZES))),
    DescribedAttribute("hue", _steps(len(HUES), circular=True)),
    DescribedAttribute("kind", torch.eye(_KINDS, dtype=torch.bool)),
    DescribedAttribute("place", _places()),
    DescribedAttribute("background", torch.eye(len(BACKGROUNDS), dtype=torch.bool)),
)


def words_of(kind: Tensor, attributes: Tensor) -> Tensor:
    """Kinds (B,) and attributes (B, 8) -> which word says each attribute, int64 (B, 5)."""
    hue_cos, hue_sin, size, x, y, _, _, light = attributes.double().unbind(1)
    hue = (torch.atan2(hue_sin, hue_cos) / (2 * math.pi) * 12).round().long() % 12
    large = ((size - 0.3) / 0.35 * 3).long().clamp(0, 2)
    place = ((1 - y) * 1.5).long().clamp(0, 2) * 3 + ((1 + x) * 1.5).long().clamp(0, 2)
    return torch.stack([large, hue, kind, place, (light > 0.5).long()], 1)


def sentences(words: Tensor, kinds: list[str]) -> list[str]:
    """Rows of `words_of` -> one English sentence per shape."""
    return [
        f"a {SIZES[s]} {HUES[h]} {kinds[k]} {PLACES[p]} on a {BACKGROUNDS[w]} background"
        for s, h, k, p, w in words.tolist()
    ]


def attributes_within(words: Tensor, turns: Tensor, u: Tensor) -> Tensor:
    """Draw attributes that a sentence leaves open: uniform within each of its words.

    Args:
        words: int64 (B, 5), as `words_of` gives them.
        turns: float64 (B,), 1 where the kind has a rotation, else 0.
        u: float64 (B, 6), 0..1.

    Returns:
        float32 (B, 8), as `shapes.ATTRIBUTES` names them.
    """
    large, hue, _, place, light = words.double().unbind(1)
    angle, turn = (hue - 0.5 + u[:, 0]) / 12 * 2 * math.pi, u[:, 4] * 2 * math.pi * turns
    size = 0.3 + 0.35 * (large + u[:, 1]) / 3
    row, column = place.div(3, rounding_mode="floor"), place % 3
    x, y = _along(column, size, u[:, 2]), -_along(row, size, u[:, 3])
    lightness = 0.2 * u[:, 5] + 0.8 * light
    return torch.stack([angle.cos(), angle.sin(), size, x, y, turn.cos(), turn.sin(), lightness], 1).float()


def _along(third: Tensor, size: Tensor, u: Tensor) -> Tensor:
    """Draw a position in this third of the picture, from which a shape of `size` stays inside."""
    reach = 1 - size
    low, high = (third / 1.5 - 1).maximum(-reach), ((third + 1) / 1.5 - 1).minimum(reach)
    return low + (high - low) * u
