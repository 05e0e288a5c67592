"""Neural importance sampling (Müller et al. 2019): the piecewise-linear map that couplings and MAF apply."""

import math
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from lightning_gen.bijections.primitives.univariate import Binned

__all__ = ["PiecewiseLinear"]


@final
class PiecewiseLinear(Binned):
    """The integral of a density of K equal bins on [-bound, bound], the identity outside (Müller et al. 2019, Section
    4.1, Eq. 9 and 10).

    Args:
        bins: K, 2 or more; P = K.
        bound: half the width of the interval, above 0.
        smallest: mass of a bin, at least this, below 1/bins.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(self, bins: int = 16, bound: float = 4.0, smallest: float = 1e-4) -> None:
        super().__init__(bins, bound, smallest)

    @property
    def parameters_per_element(self) -> int:
        return self.bins

    def _masses(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mass of each bin, which sum to 1, and the mass left of it: (B, K, D, ...) each."""
        raw = raw.unflatten(1, (self.bins, -1))
        mass = self.smallest + (1.0 - self.bins * self.smallest) * log_softmax(raw, 1).exp()
        return mass, mass.cumsum(1) - mass

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        mass, left = self._masses(raw)
        place = self._place(x) * self.bins  # in bins
        index = place.detach().floor().clamp(max=self.bins - 1)
        mass, left = (part.gather(1, index.long()[:, None]).squeeze(1) for part in (mass, left))
        y = self.bound * (2.0 * (left + mass * (place - index)) - 1.0)
        outside = x.abs() > self.bound
        return torch.where(outside, x, y), torch.where(outside, 0.0, mass.log() + math.log(self.bins))

    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        mass, left = self._masses(raw)
        place = self._place(y)
        index = (left.detach()[:, 1:] <= place.detach()[:, None]).sum(1)
        mass, left = (part.gather(1, index[:, None]).squeeze(1) for part in (mass, left))
        x = (index + (place - left) / mass) / self.bins
        return torch.where(y.abs() > self.bound, y, self.bound * (2.0 * x - 1.0))
