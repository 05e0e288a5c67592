"""Neural spline flow (Durkan et al. 2019): the rational-quadratic spline that couplings and MAF apply."""

import math
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import softmax, softplus

from lightning_gen.bijections.primitives.univariate import Binned

__all__ = ["RationalQuadratic"]


@final
class RationalQuadratic(Binned):
    """Monotone rational-quadratic spline on [-bound, bound], the identity outside (Durkan et al. 2019, Section 3.1).

    Args:
        bins: K, 2 or more; P = 3 K - 1.
        bound: half the width of the interval, above 0.
        smallest: width and height of a bin as part of the interval, and slope at a knot: each at least this.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(self, bins: int = 8, bound: float = 4.0, smallest: float = 1e-3) -> None:
        super().__init__(bins, bound, smallest)

    @property
    def parameters_per_element(self) -> int:
        return 3 * self.bins - 1

    def _bin(self, value: Tensor, raw: Tensor, axis: int) -> tuple[Tensor, ...]:
        """The bin that holds `value` (B, D, ...), a place on the x axis (0) or the y axis (1), both from 0 to 1: its
        left x, lower y, width, height and slopes at both ends, each (B, D, ...)."""
        k = self.bins
        sizes, slopes = raw.unflatten(1, (self.parameters_per_element, -1)).split([2 * k, k - 1], 1)
        shares, rest = softmax(sizes.unflatten(1, (2, k)), 2), 1.0 - self.smallest * k
        with torch.no_grad():
            bins = torch.arange(k, device=raw.device, dtype=raw.dtype).view(-1, *(1,) * (value.ndim - 1))
            inner = torch.add(self.smallest * (bins[:-1] + 1.0), shares[:, axis, :-1].cumsum(1), alpha=rest)
            before = (value[:, None] >= inner).sum(1, keepdim=True)
            below = (bins < before).to(raw.dtype)
            ends = torch.cat([before - 1, before], 1)
            given = (ends >= 0) & (ends < k - 1)
        left = rest * (shares * below[:, None]).sum(2) + self.smallest * before
        place = before[:, None].expand(-1, 2, -1, *value.shape[1:])
        size = rest * shares.gather(2, place).squeeze(2) + self.smallest
        # At both ends of the interval the slope is that of the identity, outside.
        slope = self._slope(torch.where(given, slopes.gather(1, ends.clamp(0, k - 2)), 0.0))
        return (*left.unbind(1), *size.unbind(1), *slope.unbind(1))

    def _slope(self, raw: Tensor) -> Tensor:
        """Of a knot; 1 where the raw one is 0."""
        return softplus(raw + math.log(math.expm1(1.0 - self.smallest))) + self.smallest

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        place = self._place(x)
        x0, y0, width, height, d0, d1 = self._bin(place, raw, 0)
        s, t = height / width, (place - x0) / width
        r = 1.0 - t
        tr = t * r
        below = s + (d0 + d1 - 2.0 * s) * tr
        y = y0 + height * (s * t.square() + d0 * tr) / below  # Eq. 4
        slope = d1 * t.square() + 2.0 * s * tr + d0 * r.square()
        log_slope = 2.0 * (s / below).log() + slope.log()  # Eq. 5
        outside = x.abs() > self.bound
        return torch.where(outside, x, self.bound * (2.0 * y - 1.0)), torch.where(outside, 0.0, log_slope)

    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        place = self._place(y)
        x0, y0, width, height, d0, d1 = self._bin(place, raw, 1)
        s, rise = height / width, place - y0
        bend = rise * (d0 + d1 - 2.0 * s)
        a = height * (s - d0) + bend  # Eq. 6-8
        b = height * d0 - bend
        c = -s * rise
        root = (b.square() - 4.0 * a * c).clamp(min=0.0).sqrt()
        x = x0 + width * 2.0 * c / (-b - root)
        return torch.where(y.abs() > self.bound, y, self.bound * (2.0 * x - 1.0))
