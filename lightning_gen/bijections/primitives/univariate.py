"""Monotone maps of the line whose parameters a conditioner supplies, element by element: what a coupling applies."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

__all__ = ["Additive", "Affine", "Univariate"]


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
