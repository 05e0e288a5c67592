"""Masked autoregressive maps of vectors: entry i is mapped with parameters that entries before it decide.

One map serves twice. As a posterior it takes noise to a code in one pass, and is the inverse autoregressive flow
(Kingma et al. 2016, Algorithm 1); as a prior or an image flow it takes data to noise in one pass, and is the masked
autoregressive flow (Papamakarios et al. 2017, Section 3). The other direction goes entry by entry.
"""

from collections.abc import Callable
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection
from lightning_gen.bijections.primitives.univariate import Univariate
from lightning_gen.errors import UserError

__all__ = ["Inverted", "MaskedAutoregressive", "Reverse", "SequentialNet", "sequential"]


@runtime_checkable
class SequentialNet(Protocol):
    """What decides an autoregressive map: parameters of entry i are a function of the entries before it and a context.
    An entry is a number, x (B, D), or a vector, x (B, N, D)."""

    def __call__(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """All entries, and a context (B, K) -> the parameters of all."""

    def decode_sequentially(
        self, rows: int, choose: Callable[[int, Tensor], Tensor], context: Tensor | None = None
    ) -> Tensor:
        """Decode entry by entry, each worked out once: `choose`, called with i and the parameters of entry i, says what
        entry i of the `rows` is, (B, 1) or (B, 1, D) -> all entries."""


def sequential(net: nn.Module) -> SequentialNet:
    """The net, as a `SequentialNet`; raises `UserError` where it is none."""
    if not isinstance(net, SequentialNet):
        raise UserError(f"net is {type(net).__name__}: want one whose entries depend on those before, such as MADE")
    return net


@final
class MaskedAutoregressive(Bijection):
    """z_i = f(x_i; net_i(x_1..x_(i-1), context)).

    Args:
        dim: D.
        net: called with (D, parameters out), gives a `SequentialNet`, as `nets.flow.made.MADE`; parameter p
            of entry i at p*D + i.
        univariate: f, the map of an element.
    """

    def __init__(self, dim: int, net: Callable[[int, int], nn.Module], univariate: Univariate) -> None:
        super().__init__()
        self.univariate = univariate
        self.net = sequential(net(dim, univariate.parameters_per_element * dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = self.univariate(x, self.net(x, context).to(x.dtype))
        return z, log_det.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        def choose(i: int, raw: Tensor) -> Tensor:
            return self.univariate.inverse(z[:, i : i + 1], raw.to(z.dtype))

        return self.net.decode_sequentially(len(z), choose, context)


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
