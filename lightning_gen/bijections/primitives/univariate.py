"""Monotone maps of the line whose parameters a conditioner supplies, element by element: what a coupling applies."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError

__all__ = ["Additive", "Affine", "Binned", "Univariate"]


class Univariate(nn.Module, ABC):
    """y_i = f(x_i; raw_i), increasing; all raw parameters zero mean the identity."""

    @property
    @abstractmethod
    def parameters_per_element(self) -> int:
        """P."""

    @abstractmethod
    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, D, ...), raw (B, P*D, ...) -> y and log dy/dx, both of the shape of x."""

    @abstractmethod
    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        """Undo the map, y -> x."""


class Binned(Univariate):
    """A map of [-bound, bound] onto itself by parts, the identity outside.

    Args:
        bins: K, 2 or more.
        bound: half the width of the interval, above 0.
        smallest: share of a bin of the interval, at least this, above 0 and below 1/bins.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(self, bins: int, bound: float, smallest: float) -> None:
        if bins < 2:
            raise UserError(f"transform.bins is {bins}: want 2 or more")
        if bound <= 0:
            raise UserError(f"transform.bound is {bound}: want more than 0")
        if not 0 < smallest < 1 / bins:
            raise UserError(f"transform.smallest is {smallest}: want more than 0, less than 1/bins")
        super().__init__()
        self.bins, self.bound, self.smallest = bins, bound, smallest

    def _place(self, value: Tensor) -> Tensor:
        """[-bound, bound] -> [0, 1], and what is outside to the nearer end."""
        return (0.5 + value / (2.0 * self.bound)).clamp(0.0, 1.0)


@final
class Additive(Univariate):
    """y = x + t: volume is kept (NICE, Dinh et al. 2015, Section 3.2)."""

    @property
    def parameters_per_element(self) -> int:
        return 1

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return x + raw, torch.zeros_like(x)

    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        return y - raw


@final
class Affine(Univariate):
    """y = x exp(s) + t (RealNVP, Dinh et al. 2017, Eq. 7), s kept in (-2, 2), so that no layer can blow up."""

    @property
    def parameters_per_element(self) -> int:
        return 2

    @staticmethod
    def _split(raw: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = raw.chunk(2, 1)
        return 2.0 * torch.tanh(log_scale / 2.0), shift

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._split(raw)
        return torch.addcmul(shift, x, log_scale.exp()), log_scale

    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        log_scale, shift = self._split(raw)
        return (y - shift) * (-log_scale).exp()
