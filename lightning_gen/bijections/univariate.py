"""Monotone maps of the line whose parameters a conditioner supplies, element by element: what a coupling applies."""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, softmax, softplus

from lightning_gen.errors import UserError

__all__ = ["Additive", "Affine", "RationalQuadratic", "Univariate"]


class Univariate(nn.Module, ABC):
    """y_i = f(x_i; raw_i), increasing; all raw parameters zero mean the identity."""

    @property
    @abstractmethod
    def parameters_per_element(self) -> int:
        """P."""

    @abstractmethod
    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D, ...), raw (B, P*D, ...) -> y and log dy/dx, both of the shape of x."""

    @abstractmethod
    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        """y -> x."""


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
        return x * log_scale.exp() + shift, log_scale

    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        log_scale, shift = self._split(raw)
        return (y - shift) * (-log_scale).exp()


@final
class RationalQuadratic(Univariate):
    """Monotone rational-quadratic spline on [-bound, bound], the identity outside (Durkan et al. 2019, Section 3.1).

    Args:
        bins: K, 2 or more; P = 3 K - 1.
        bound: half the width of the interval, above 0.
        smallest: width and height of a bin as part of the interval, and slope at a knot: each at least this.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(self, bins: int = 8, bound: float = 4.0, smallest: float = 1e-3) -> None:
        if bins < 2:
            raise UserError(f"transform.bins is {bins}: want 2 or more")
        if bound <= 0:
            raise UserError(f"transform.bound is {bound}: want more than 0")
        if not 0 < smallest < 1 / bins:
            raise UserError(f"transform.smallest is {smallest}: want more than 0, less than 1/bins")
        super().__init__()
        self.bins, self.bound, self.smallest = bins, bound, smallest

    @property
    def parameters_per_element(self) -> int:
        return 3 * self.bins - 1

    def _knots(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """raw (B, P*D, ...) -> x and y of the knots and the raw slopes there, each (B, D, ..., K+1)."""
        parameters = raw.unflatten(1, (self.parameters_per_element, -1)).movedim(1, -1)
        widths, heights, slopes = parameters.split([self.bins, self.bins, self.bins - 1], -1)
        return self._edges(widths), self._edges(heights), pad(slopes, (1, 1))

    def _slope(self, raw: Tensor) -> Tensor:
        """Of a knot; 1 where the raw one is 0. Only those of the bins that are needed are worked out."""
        return softplus(raw + math.log(math.expm1(1.0 - self.smallest))) + self.smallest

    def _edges(self, raw: Tensor) -> Tensor:
        sizes = self.smallest + (1.0 - self.smallest * self.bins) * softmax(raw, -1)
        inner = 2.0 * self.bound * sizes[..., :-1].cumsum(-1) - self.bound
        return pad(pad(inner, (1, 0), value=-self.bound), (0, 1), value=self.bound)

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        xs, ys, slopes = self._knots(raw)
        inside = x.clamp(-self.bound, self.bound)
        x0, width, y0, height, *ends = _bin_of(inside, xs, xs, ys, slopes)
        d0, d1 = map(self._slope, ends)
        s, t = height / width, (inside - x0) / width
        bend = d0 + d1 - 2.0 * s
        below = s + bend * t * (1.0 - t)
        y = y0 + height * (s * t.square() + d0 * t * (1.0 - t)) / below  # Eq. 4
        slope = d1 * t.square() + 2.0 * s * t * (1.0 - t) + d0 * (1.0 - t).square()
        log_slope = 2.0 * s.log() + slope.log() - 2.0 * below.log()  # Eq. 5
        outside = x.abs() > self.bound
        return torch.where(outside, x, y), torch.where(outside, torch.zeros_like(x), log_slope)

    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        xs, ys, slopes = self._knots(raw)
        inside = y.clamp(-self.bound, self.bound)
        x0, width, y0, height, *ends = _bin_of(inside, ys, xs, ys, slopes)
        d0, d1 = map(self._slope, ends)
        s, rise = height / width, inside - y0
        bend = d0 + d1 - 2.0 * s
        a = height * (s - d0) + rise * bend  # Eq. 6-8
        b = height * d0 - rise * bend
        c = -s * rise
        root = (b.square() - 4.0 * a * c).clamp(min=0.0).sqrt()
        x = x0 + width * 2.0 * c / (-b - root)
        return torch.where(y.abs() > self.bound, y, x)


def _bin_of(value: Tensor, edges: Tensor, xs: Tensor, ys: Tensor, slopes: Tensor) -> tuple[Tensor, ...]:
    """Of the bin between two `edges` that holds `value`: left x, width, lower y, height, slopes at both ends."""
    index = (value[..., None] >= edges[..., 1:-1]).sum(-1, keepdim=True)
    x0, x1, y0, y1, d0, d1 = (k.gather(-1, index + i)[..., 0] for k in (xs, ys, slopes) for i in (0, 1))
    return x0, x1 - x0, y0, y1 - y0, d0, d1
