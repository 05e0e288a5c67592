"""The contract of a bijection, and composition."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lightning_gen.errors import check_counts

__all__ = ["Bijection", "Compose", "layer_range"]


class Bijection(nn.Module, ABC):
    """x <-> z with the log of |det dz/dx|, summed over all but the batch dimension.

    z and the log-determinant have the precision of x, also under autocast: there the networks that decide about a map
    compute in 16 bits, the map itself does not.
    """

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map x (B, ...), context (B, K) or None -> z of the same number of elements, log|det| (B,) in nats. Bijections
        of images also take a context per pixel, (B, K, H, W)."""

    @abstractmethod
    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Undo the map, z -> x, so that ``inverse(forward(x)[0]) == x``."""


class Compose(Bijection):
    """The bijections one after the other."""

    def __init__(self, *bijections: Bijection) -> None:
        super().__init__()
        self.bijections = nn.ModuleList(bijections)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = torch.zeros(len(x), device=x.device, dtype=x.dtype)
        for bijection in self.bijections:
            x, log_det = bijection(x, context)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        for bijection in reversed(self.bijections):
            assert isinstance(bijection, Bijection)
            z = bijection.inverse(z, context)
        return z


def layer_range(layers: int) -> range:
    """Number the layers of a flow; `layers` is 1 or more, else a `UserError`."""
    check_counts("flow", layers=layers)
    return range(layers)
