"""Inverses that have no closed form: a root found by iteration, and its gradient by the implicit function theorem.

Where F(x; p) = 0 the theorem says dx/dp = -(dF/dx)^-1 dF/dp. A Newton step at the root is 0 but for rounding, and its
gradient is this one; a second step, whose start has that gradient, makes second derivatives right too.
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["increasing_root", "with_gradient"]


def increasing_root(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, halvings: int = 60) -> Tensor:
    """Find where the increasing `function`, element by element, passes 0 between `low` and `high`: by bisection, so to
    the last digits and whatever its slope. The result has no gradient, see `with_gradient`."""
    with torch.no_grad():
        for _ in range(halvings):
            middle = (low + high) / 2
            above = function(middle) > 0
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2


def with_gradient(root: Tensor, newton: Callable[[Tensor], Tensor]) -> Tensor:
    """Give a root the gradient that the iteration which found it lacks: first and second derivatives.

    Args:
        root: x with F(x; p) = 0.
        newton: x -> x - (dF/dx)^-1 F(x; p), with gradients to x and to every p.
    """
    root = root.detach()
    return newton(newton(root)) if torch.is_grad_enabled() else root
