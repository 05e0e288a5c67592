"""The map of an element by the distribution function of a mixture (Ho et al. 2019, Section 3.2)."""

from typing import final

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from lightning_gen.bijections.primitives.roots import increasing_root, with_gradient
from lightning_gen.bijections.primitives.univariate import Univariate
from lightning_gen.errors import check_counts

__all__ = ["MixtureOfLogistics"]


@final
class MixtureOfLogistics(Univariate):
    """y = logit(F(x)) exp(a) + b, F the distribution function of a mixture of logistics (Flow++, Ho et al. 2019, Eq. 14
    and 15). The inverse is a bisection between bounds that hold the root.

    Args:
        components: K, 1 or more; P = 3 K + 2.

    Raises:
        UserError: `components` out of range.
    """

    def __init__(self, components: int = 4) -> None:
        check_counts("transform", components=components)
        super().__init__()
        self.components = components

    @property
    def parameters_per_element(self) -> int:
        return 3 * self.components + 2

    def _split(self, raw: Tensor) -> tuple[Tensor, ...]:
        """raw (B, P*D, ...) -> log-weights, means and log-scales (B, K, D, ...), and a and b (B, D, ...)."""
        k = self.components
        parameters = raw.unflatten(1, (self.parameters_per_element, -1))
        weights, means, log_scales, rest = parameters.split([k, k, k, 2], 1)
        # All zero is the identity, where the components are alike: each learns at a pace of its own, so that they part.
        pace = torch.linspace(1.0, 1.0 / k, k, device=raw.device, dtype=raw.dtype).view(-1, *(1,) * (raw.ndim - 1))
        log_scales = 3.0 * torch.tanh(pace * log_scales / 3.0)
        return (log_softmax(weights, 1), pace * means, log_scales, *_bounded(rest))

    @staticmethod
    def _log_distribution(x: Tensor, weights: Tensor, means: Tensor, log_scales: Tensor) -> tuple[Tensor, ...]:
        """log F, log (1 - F) and log dF/dx, each (B, D, ...)."""
        t = (x[:, None] - means) * (-log_scales).exp()
        below, above = logsigmoid(t), logsigmoid(-t)
        return tuple(torch.logsumexp(weights + p, 1) for p in (below, above, below + above - log_scales))

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        *mixture, a, b = self._split(raw)
        below, above, slope = self._log_distribution(x, *mixture)
        return (below - above) * a.exp() + b, slope - below - above + a

    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        weights, means, log_scales, a, b = self._split(raw)
        logit = (y - b) * (-a).exp()
        # Where a logistic alone would have this value; the root of the mixture is between the least and the most.
        alone = means + log_scales.exp() * logit[:, None]

        def above(x: Tensor) -> Tensor:
            below, over, _ = self._log_distribution(x, weights, means, log_scales)
            return below - over - logit

        def newton(x: Tensor) -> Tensor:
            below, over, slope = self._log_distribution(x, weights, means, log_scales)
            return x - (below - over - logit) * (below + over - slope).exp()

        return with_gradient(increasing_root(above, alone.amin(1), alone.amax(1)), newton)


def _bounded(rest: Tensor) -> tuple[Tensor, Tensor]:
    """a kept in (-2, 2), so that no layer can blow up, and b."""
    a, b = rest.unbind(1)
    return 2.0 * torch.tanh(a / 2.0), b
