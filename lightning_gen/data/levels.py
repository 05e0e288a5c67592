"""Fewer levels than 256, a function of the picture and its place in the set alone: the same in every epoch and run."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from lightning_gen.data.augment import Draws
from lightning_gen.errors import UserError

__all__ = ["Bernoulli", "Levels", "Reduced", "Threshold"]


class Levels(ABC):
    """uint8 0..255 -> uint8 0..levels-1."""

    @property
    @abstractmethod
    def levels(self) -> int:
        """Number of values that come out, 2..256."""

    @abstractmethod
    def __call__(self, image: Tensor, index: Tensor) -> Tensor:
        """uint8 (B, C, H, W) with values 0..255, int64 (B,) places in the set -> the same shape, 0..levels-1."""


@final
class Threshold(Levels):
    """Two levels: 1 where the pixel is `at` or more.

    Args:
        at: 1..255.
    """

    levels = 2

    def __init__(self, at: int = 128) -> None:
        if not 1 <= at <= 255:
            raise UserError(f"levels.at is {at}: want 1 to 255")
        self.at = at

    def __call__(self, image: Tensor, index: Tensor) -> Tensor:
        return (image >= self.at).to(torch.uint8)


@final
class Bernoulli(Levels):
    """Two levels: 1 with probability pixel/255, drawn once (binarised MNIST, Salakhutdinov and Murray 2008, sec. 5).

    Args:
        draw: seed of the drawing; each value is another set.
    """

    levels = 2

    def __init__(self, draw: int = 0) -> None:
        self.draw = draw

    def __call__(self, image: Tensor, index: Tensor) -> Tensor:
        pixels = image[0].numel()
        places = index.cpu()[:, None] * pixels + torch.arange(pixels)
        # 255 equally likely values below the pixel: 0 is never and 255 always a one.
        below = Draws(self.draw, 0, places.flatten()).integers(255).view_as(image)
        return (below.to(image.device) < image).to(torch.uint8)


@final
class Reduced(Levels):
    """`levels` bins of equal width: 32 are the 5 bits of Glow (Kingma and Dhariwal 2018, sec. 5).

    Args:
        levels: 2..256.
    """

    levels = 256

    def __init__(self, levels: int = 32) -> None:
        if not 2 <= levels <= 256:
            raise UserError(f"levels.levels is {levels}: want 2 to 256")
        self.levels = levels

    def __call__(self, image: Tensor, index: Tensor) -> Tensor:
        return (image.int() * self.levels // 256).to(torch.uint8)
