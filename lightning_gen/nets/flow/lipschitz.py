"""Networks g with a Lipschitz constant below 1: x + g(x) is then invertible."""

from collections.abc import Callable
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from lightning_gen.errors import UserError, check_counts
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["LipschitzMLP", "spectral_bound"]


def spectral_bound(weight: Tensor, squarings: int = 5) -> Tensor:
    """Bound the norm: at least the largest singular value of `weight` (O, I), and at most n^(1 / 2^(squarings + 2))
    times that, n the smaller of O and I: by the Frobenius norm of a power of W'W (Gram iteration, Delattre et al. 2023,
    Algorithm 1). A power iteration would come from below, and promise nothing."""
    tall = weight if len(weight) >= weight.shape[1] else weight.mT
    with torch.no_grad():
        tiny = torch.finfo(weight.dtype).tiny
        gram, log_bound = tall.mT @ tall, weight.new_zeros(())
        slope = tall
        for i in range(squarings + 1):
            gram = gram @ gram if i else gram
            norm = gram.norm() + tiny
            log_bound += norm.log() / 2.0 ** (i + 1)
            gram = gram / norm
            slope = slope @ gram
        # The bound grows like its argument, so it is the product with its gradient, W (W'W)^(2m - 1) but for a factor.
        slope *= log_bound.exp() / ((tall * slope).sum() + tiny)
    return (tall * slope).sum()


@final
class LipschitzMLP(nn.Module):
    """x (B, D) and a context (B, K) -> g(x) (B, D) with |g(x) - g(y)| <= `coefficient` |x - y|: weights are scaled down
    where their spectral norm is too large, with LipSwish between them (Chen et al. 2019, Section 3.3).

    Args:
        dim: D.
        context_dim: K; 0: no context.
        width: of the hidden layers.
        layers: hidden layers, 1 or more.
        coefficient: above 0, below 1.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self, dim: int, context_dim: int = 0, width: int = 64, layers: int = 2, coefficient: float = 0.95
    ) -> None:
        super().__init__()
        check_counts("net", width=width, layers=layers)
        if not 0 < coefficient < 1:
            raise UserError(f"net.coefficient is {coefficient}: want above 0, below 1")
        sizes = [dim, *[width] * layers, dim]
        linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.weights = nn.ParameterList(layer.weight for layer in linears)
        self.biases = nn.ParameterList(layer.bias for layer in linears)
        self.context = ContextBias(context_dim, width)
        # LipSwish is x sigmoid(b x) / 1.1 with b = softplus(this), about 3 at first. With 0.5, as in the paper, g is so
        # nearly linear that 300 steps on eight Gaussians taught it nothing (5.89 bits/dim; with 3: 5.05).
        self.sharpness = nn.Parameter(torch.full((layers,), 3.0))
        self.share = coefficient ** (1.0 / len(linears))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._apply_layers(x, context, self._scaled())[0]

    def linearised(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Compute g(x) (B, D), and the map of directions t (B, M, D) to their images J t, J the Jacobian dg/dx of each
        row."""
        weights = self._scaled()
        g, slopes = self._apply_layers(x, context, weights)

        def push(t: Tensor) -> Tensor:
            for weight, slope in zip(weights, slopes, strict=False):
                t = linear(t, weight) * slope[:, None]
            return linear(t, weights[-1])

        return g, push

    def _scaled(self) -> list[Tensor]:
        return [w * (self.share / spectral_bound(w).clamp(min=self.share)) for w in self.weights]

    def _apply_layers(self, x: Tensor, context: Tensor | None, weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """g(x), and the slope of every activation (B, width)."""
        slopes, sharpness = [], softplus(self.sharpness)
        for i, (weight, bias) in enumerate(zip(weights, self.biases, strict=True)):
            x = linear(x, weight, bias)
            if i == len(weights) - 1:
                break
            if i == 0:
                x = x + self.context(context)
            bx = sharpness[i] * x
            gate = bx.sigmoid() / 1.1
            slopes.append(gate * (1.0 + bx * (1.0 - 1.1 * gate)))
            x = x * gate
        return x, slopes
