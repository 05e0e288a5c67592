"""Masked autoregressive maps of vectors: entry i is mapped with parameters that entries before it decide.

One map serves twice. As a posterior it takes noise to a code in one pass, and is the inverse autoregressive flow
(Kingma et al. 2016, Algorithm 1); as a prior or an image flow it takes data to noise in one pass, and is the masked
autoregressive flow (Papamakarios et al. 2017, Section 3). The other direction takes D passes.
"""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection
from lightning_gen.bijections.univariate import Univariate

__all__ = ["Inverted", "MaskedAutoregressive", "Reverse"]


@final
class MaskedAutoregressive(Bijection):
    """z_i = f(x_i; net_i(x_1..x_(i-1), context)).

    Args:
        dim: D.
        net: called with (D, parameters out), gives (x, context) -> parameters, as `lightning_gen.nets.made.MADE`.
        univariate: f, the map of an element.
    """

    def __init__(self, dim: int, net: Callable[[int, int], nn.Module], univariate: Univariate) -> None:
        super().__init__()
        self.univariate, self.net = univariate, net(dim, univariate.parameters_per_element * dim)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = self.univariate(x, self.net(x, context).to(x.dtype))
        return z, log_det.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        entry = torch.arange(z.shape[1], device=z.device)
        x = torch.zeros_like(z)
        for i in range(z.shape[1]):
            x = torch.where(entry == i, self.univariate.inverse(z, self.net(x, context).to(z.dtype)), x)
        return x


@final
class Reverse(Bijection):
    """z_i = x_(D+1-i): the next layer sees the entries in the other order."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.flip(1), torch.zeros(len(x), device=x.device, dtype=x.dtype)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z.flip(1)


@final
class Inverted(Bijection):
    """The same bijection, its directions exchanged: an IAF as a prior samples in one pass, an MAF as a posterior
    knows the density of any code in one pass.

    Args:
        dim: D.
        context_dim: K.
        flow: called with (D, K).
    """

    def __init__(self, dim: int, context_dim: int, flow: Callable[[int, int], Bijection]) -> None:
        super().__init__()
        self.flow = flow(dim, context_dim)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z = self.flow.inverse(x, context)
        return z, -self.flow(z, context)[1]

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.flow(z, context)[0]
