"""Parameters of a layer as a function of a context, image by image."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["Amortised"]


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
        """Compute the parameters, x (B, ...), whose rows are counted, context (B, K) or None -> (B, out)."""
        if self.weight is None:
            return self.bias.expand(len(x), -1)
        assert context is not None
        return linear(context, self.weight, self.bias).to(x.dtype)
