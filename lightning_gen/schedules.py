"""Learning-rate schedules over images seen: the same words mean the same for a GAN, a flow and a VAE.

A schedule is a pure function of the number of images seen, so it survives resume, another batch size and another
number of processes without any state.
"""

import math
from abc import ABC, abstractmethod

from lightning_gen.errors import IMAGE_LIMIT, UserError, check_counts

__all__ = ["Constant", "HalfLife", "LinearDecay", "Ramp", "Schedule", "WarmupCosine", "value_at"]


class Schedule(ABC):
    """A factor on the learning rate."""

    @abstractmethod
    def factor(self, images_seen: int) -> float:
        """Compute the factor, 0..1, after `images_seen` training images."""


class Constant(Schedule):
    """The learning rate as it is."""

    def factor(self, images_seen: int) -> float:
        return 1.0


class LinearDecay(Schedule):
    """1 until `start` images, then linearly to 0 at `end` images (SN-GAN, WGAN-GP: start 0)."""

    def __init__(self, end: int, start: int = 0) -> None:
        if end <= start:
            raise UserError(f"schedule.end is {end}: want more than schedule.start, {start}")
        self.start, self.end = start, end

    def factor(self, images_seen: int) -> float:
        return min(1.0, max(0.0, (self.end - images_seen) / (self.end - self.start)))


class WarmupCosine(Schedule):
    """Linear from 0 over `warmup` images, then half a cosine down to `floor` at `end` images."""

    def __init__(self, end: int, warmup: int = 0, floor: float = 0.0) -> None:
        if end <= warmup:
            raise UserError(f"schedule.end is {end}: want more than schedule.warmup, {warmup}")
        self.end, self.warmup, self.floor = end, warmup, floor

    def factor(self, images_seen: int) -> float:
        if images_seen < self.warmup:
            return (images_seen + 1) / (self.warmup + 1)
        progress = min(1.0, (images_seen - self.warmup) / (self.end - self.warmup))
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


class Ramp:
    """A value that goes from `start` to `end` over the first `images` training images, along half a cosine, and stays
    there (Huang et al. 2024, Appendix: penalty, Adam's second beta, weight average and augmentation of R3GAN).

    Args:
        start: at the first image.
        end: from `images` on.
        images: length, 1 or more.
    """

    def __init__(self, start: float, end: float, images: int) -> None:
        check_counts("ramp", limit=IMAGE_LIMIT, images=images)
        self.start, self.end, self.images = start, end, images

    def value(self, images_seen: int) -> float:
        """Compute the value after `images_seen` training images."""
        progress = min(1.0, images_seen / self.images)
        return self.end + (self.start - self.end) * 0.5 * (1.0 + math.cos(math.pi * progress))


class HalfLife:
    """A moving average that forgets half of itself within so many training images, fewer at the start (Karras et al.
    2020b, Appendix C).

    Args:
        images: half-life, 1 or more.
        ramp: the half-life is at most this part of the images seen, above 0.
    """

    def __init__(self, images: int = 10_000, ramp: float = 0.05) -> None:
        check_counts("ema", limit=IMAGE_LIMIT, images=images)
        if ramp <= 0:
            raise UserError(f"ema.ramp is {ramp}: want above 0")
        self.images, self.ramp = images, ramp

    def decay(self, images_seen: int, batch: float) -> float:
        """Compute the factor of the average at a step of `batch` images, 0..1."""
        return float(0.5 ** (batch / max(min(self.images, self.ramp * images_seen), 1e-8)))


def value_at(value: float | Ramp, images_seen: int) -> float:
    """Take a number, or the value of a ramp, after `images_seen` training images."""
    return value.value(images_seen) if isinstance(value, Ramp) else value
