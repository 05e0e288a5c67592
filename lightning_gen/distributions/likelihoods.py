"""Likelihoods of the discrete image given the output of a network."""

import torch
from torch import Tensor, nn

from lightning_gen.images import ImageSpec

__all__ = ["categorical_log_prob", "categorical_sample"]


def categorical_log_prob(logits: Tensor, image: Tensor) -> Tensor:
    """logits (B, C*levels, H, W), uint8 (B, C, H, W) -> (B, C, H, W) nats, channel-major: channel c owns its levels."""
    batch, channels, height, width = image.shape
    logits = logits.view(batch, channels, -1, height, width)
    return -nn.functional.cross_entropy(logits.transpose(1, 2), image.long(), reduction="none")


def categorical_sample(logits: Tensor, spec: ImageSpec, uniform: Tensor, temperature: float = 1.0) -> Tensor:
    """logits (B, C*levels, ...), uniform (B, C, ...) in [0, 1) -> uint8 (B, C, ...), by inversion of the CDF."""
    logits = logits.view(len(logits), spec.channels, spec.levels, *logits.shape[2:])
    cdf = torch.softmax(logits.double() / temperature, 2).cumsum(2)
    return (cdf < uniform.double().unsqueeze(2)).sum(2).clamp(max=spec.levels - 1).to(torch.uint8)
