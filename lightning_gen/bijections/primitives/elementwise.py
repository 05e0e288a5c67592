"""Elementwise bijections with fixed form."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lightning_gen.bijections.base import Bijection
from lightning_gen.errors import UserError

__all__ = ["Logit"]


class Logit(Bijection):
    """z = logit(alpha + (1 - 2 alpha) x), x in [0, 1] (Dinh et al. 2017, Section 4.1).

    Args:
        alpha: keeps the logit finite at both ends, 0 < alpha < 0.5.

    Raises:
        UserError: `alpha` out of range.
    """

    def __init__(self, alpha: float = 0.05) -> None:
        if not 0 < alpha < 0.5:
            raise UserError(f"bijection.alpha is {alpha}: want above 0, below 0.5")
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = self.alpha + (1 - 2 * self.alpha) * x
        z = y.log() - (-y).log1p()
        log_det = softplus(-z) + softplus(z) + math.log(1 - 2 * self.alpha)  # log dz/dy = -log y - log(1 - y)
        return z, log_det.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha)
