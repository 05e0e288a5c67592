"""Parameters of a layer as a function of a context, image by image; and the root of an increasing function, for
inverses that have no closed form."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["Amortised", "increasing_root"]


@final
class Amortised(nn.Module):
    """Linear in the context; without one, learned numbers that are the same for every row.

    Args:
        context_dim: K; 0: no context.
        out: how many parameters.
    """

    weight: nn.Parameter | None

    def __init__(self, context_dim: int, out: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(context_dim) if context_dim else 0.1
        self.bias = nn.Parameter(torch.empty(out).uniform_(-bound, bound))
        weight = nn.Parameter(torch.empty(out, context_dim).uniform_(-bound, bound)) if context_dim else None
        self.register_parameter("weight", weight)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """x (B, ...), whose rows are counted, context (B, K) or None -> (B, out)."""
        if self.weight is None:
            return self.bias.expand(len(x), -1)
        assert context is not None
        return linear(context, self.weight, self.bias).to(x.dtype)


def increasing_root(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, halvings: int = 60) -> Tensor:
    """Where the increasing `function`, element by element, passes 0 between `low` and `high`: by bisection, so to the
    last digits and whatever its slope. No gradient."""
    with torch.no_grad():
        for _ in range(halvings):
            middle = (low + high) / 2
            above = function(middle) > 0
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2
