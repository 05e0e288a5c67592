"""Losses on features: the distance of two pictures in the activations of a network."""

from typing import Literal, final

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError

__all__ = ["FeatureLoss"]


@final
class FeatureLoss(nn.Module):
    """mean |f(x) - f(y)| or mean (f(x) - f(y))^2, summed over the layers of f. Call it ``perceptual`` only where f is a
    network such as `nets.pretrained.VGG19`; with features of a discriminator it is feature matching.

    Args:
        network: signed images (B, C, H, W) -> a tuple of features; its weights do not learn here.
        norm: ``l1`` (ESRGAN) or ``l2`` (SRGAN, squared).
        scale: factor on the features (1/12.75 in SRGAN), above 0.
    """

    def __init__(self, network: nn.Module, norm: Literal["l1", "l2"] = "l1", scale: float = 1.0) -> None:
        super().__init__()
        if scale <= 0:
            raise UserError(f"loss.scale is {scale}: want above 0")
        self.network, self.norm, self.scale = network.requires_grad_(False), norm, scale

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Signed images (B, C, H, W) of equal shape -> scalar; no gradient reaches `target`."""
        with torch.no_grad():
            wanted = self.network(target)
        differences = [self.scale * (a - b) for a, b in zip(self.network(x), wanted, strict=True)]
        terms = [d.abs().mean() if self.norm == "l1" else d.square().mean() for d in differences]
        return torch.stack(terms).sum()
