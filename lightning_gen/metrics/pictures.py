"""Distances between two pictures of the same scene."""

import math

from torch import Tensor

__all__ = ["psnr"]


def psnr(image: Tensor, reference: Tensor, levels: int) -> float:
    """Peak signal-to-noise ratio in dB, of the mean squared error over all pixels of a set; infinite where equal.

    Args:
        image: uint8 (B, C, H, W), values 0..levels-1.
        reference: the same.
        levels: the peak is levels - 1.
    """
    error = (image.double() - reference.double()).square().mean().item()
    return 20 * math.log10(levels - 1) - 10 * math.log10(error) if error else math.inf
