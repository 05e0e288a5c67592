"""Augmentation, a function of (seed, epoch, index of the image) alone: batch size, processes and resume change nothing.

Draws               random integers per image, from a hash rather than from a generator's state
Augmentation        uint8 images -> uint8 images, vectorised over the batch, on the images' device
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from lightning_gen.batches import send
from lightning_gen.errors import UserError, check_counts

__all__ = ["Augmentation", "Chain", "Draws", "HorizontalFlip", "QuarterTurns", "RandomShift", "RandomZoom"]


@final
class Draws:
    """Random integers for the images of one batch.

    Each call of `integers` opens a new stream. The value for an image is splitmix64 (Steele et al. 2014, Fig. 17) of
    (seed, epoch, stream, index): integer arithmetic, so the same on every device and machine.

    Args:
        seed: of the run.
        epoch: count of passes over the set.
        index: int64 (B,), which image of the set each row is.
    """

    def __init__(self, seed: int, epoch: int, index: Tensor) -> None:
        self.seed, self.epoch, self.index = seed, epoch, index.cpu()
        self.stream = 0

    def integers(self, high: int) -> Tensor:
        """int64 (B,) on the CPU, uniform in 0..high-1, 1 <= high < 2^31."""
        self.stream += 1
        key = torch.tensor([self.seed])
        for word in (self.epoch, self.stream):
            key = _mix(key + word)
        bits = _shift(_mix(self.index + key), 33)  # 31 bits
        return (bits * high) >> 31


def _shift(x: Tensor, places: int) -> Tensor:
    """Logical shift to the right of int64, whose own is arithmetic."""
    return (x >> places) & ((1 << (64 - places)) - 1)


def _mix(x: Tensor) -> Tensor:
    # The multipliers are 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9 and 0x94D049BB133111EB as signed numbers; int64 wraps.
    x = x * -7046029254386353131 + -7046029254386353131
    x = (x ^ _shift(x, 30)) * -4658895280553007687
    x = (x ^ _shift(x, 27)) * -7723592293110705685
    return x ^ _shift(x, 31)


class Augmentation(ABC):
    """A random change of training images that keeps them images of the same kind."""

    @abstractmethod
    def __call__(self, image: Tensor, draws: Draws) -> Tensor:
        """uint8 (B, C, H, W) -> uint8 (B, C, H, W)."""


@final
class HorizontalFlip(Augmentation):
    """Mirrors about half of the images left to right. Wrong where left matters: letters, digits, positions in text."""

    def __call__(self, image: Tensor, draws: Draws) -> Tensor:
        mirrored = send(draws.integers(2).bool(), image.device)
        return torch.where(mirrored[:, None, None, None], image.flip(3), image)


@final
class QuarterTurns(Augmentation):
    """Turns each square image by 0, 90, 180 or 270 degrees. Wrong where up matters."""

    def __call__(self, image: Tensor, draws: Draws) -> Tensor:
        if image.shape[2] != image.shape[3]:
            raise UserError(f"images are {image.shape[2]}x{image.shape[3]}: QuarterTurns wants squares")
        turns = send(draws.integers(4), image.device)[:, None, None, None]
        image = torch.where(turns % 2 == 1, image.transpose(2, 3).flip(2), image)
        return torch.where(turns >= 2, image.flip(2, 3), image)


@final
class RandomShift(Augmentation):
    """Moves each image by -pixels..pixels along both axes; what comes in at the edge is its reflection.

    The same as a random crop of the original size out of an image padded by reflection.

    Args:
        pixels: largest shift, 1 or more, below the image's height and width.
    """

    def __init__(self, pixels: int = 4) -> None:
        check_counts("augment", pixels=pixels)
        self.pixels = pixels

    def __call__(self, image: Tensor, draws: Draws) -> Tensor:
        count, channels, height, width = image.shape
        if self.pixels >= min(height, width):
            raise UserError(f"augment.pixels is {self.pixels}: want less than the images' {min(height, width)} pixels")
        down, right = (send(draws.integers(2 * self.pixels + 1), image.device) - self.pixels for _ in range(2))
        row, column = _mirrored(down, height), _mirrored(right, width)
        # One gather from the flattened pixels: on the CPU five times as fast as advanced indexing.
        place = (row[:, :, None] * width + column[:, None, :]).view(count, 1, -1).expand(-1, channels, -1)
        return image.flatten(2).gather(2, place).view_as(image)


@final
class RandomZoom(Augmentation):
    """Cuts a window at random and enlarges it to the whole image, by the nearest pixel: a label map stays one, and both
    sides of a pair are cut alike.

    Args:
        pixels: most rows that are cut away, 1 or more, below the image's height; columns in proportion.
    """

    def __init__(self, pixels: int = 8) -> None:
        check_counts("augment", pixels=pixels)
        self.pixels = pixels

    def __call__(self, image: Tensor, draws: Draws) -> Tensor:
        count, channels, height, width = image.shape
        if self.pixels >= height:
            raise UserError(f"augment.pixels is {self.pixels}: want less than the images' {height} pixels")
        less = draws.integers(self.pixels + 1)
        row, column = (
            send(_window(length, less * length // height, draws.integers(1 << 16)), image.device)
            for length in (height, width)
        )
        place = (row[:, :, None] * width + column[:, None, :]).view(count, 1, -1).expand(-1, channels, -1)
        return image.flatten(2).gather(2, place).view_as(image)


def _window(length: int, less: Tensor, where: Tensor) -> Tensor:
    """(B,) pixels cut away, (B,) 0..65535 -> (B, length): the pixel of the window at each place."""
    first = (where * (less + 1)) >> 16
    return first[:, None] + torch.arange(length) * (length - less)[:, None] // length


def _mirrored(shift: Tensor, length: int) -> Tensor:
    """(B,) -> (B, length): shift + 0..length-1, mirrored about the first and the last pixel."""
    place = shift[:, None] + torch.arange(length, device=shift.device)
    return (length - 1) - (length - 1 - place.abs()).abs()


@final
class Chain(Augmentation):
    """One augmentation after the other.

    Args:
        steps: in order.
    """

    def __init__(self, steps: Sequence[Augmentation]) -> None:
        self.steps = list(steps)

    def __call__(self, image: Tensor, draws: Draws) -> Tensor:
        for step in self.steps:
            image = step(image, draws)
        return image
