"""Masked autoregressive flow (Papamakarios et al. 2017); as a posterior the inverse autoregressive flow (Kingma et al.
2016)."""

from collections.abc import Callable
from typing import final

from torch import nn

from lightning_gen.bijections.base import Bijection, Compose, layer_range
from lightning_gen.bijections.primitives.autoregressive import MaskedAutoregressive, Reverse
from lightning_gen.bijections.primitives.univariate import Affine, Univariate

__all__ = ["MaskedAutoregressiveFlow"]


@final
class MaskedAutoregressiveFlow(Compose):
    """`layers` masked autoregressive maps, the entries reversed between them: IAF as a posterior, MAF as a prior or an
    image flow (see `lightning_gen.bijections.primitives.autoregressive`).

    Args:
        dim: D.
        context_dim: K; 0: no context.
        net: called with (D, K, parameters out).
        univariate: makes the map of an element.
        layers: number of maps.
        norm: follows each map, called with (D): `BatchNorm` in MAF; None: no norm.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        net: Callable[[int, int, int], nn.Module],
        univariate: Callable[[], Univariate] = Affine,
        layers: int = 2,
        norm: Callable[[int], Bijection] | None = None,
    ) -> None:
        def made(entries: int, out: int) -> nn.Module:
            return net(entries, context_dim, out)

        norms = (lambda: ()) if norm is None else (lambda: (norm(dim),))
        stack = [(MaskedAutoregressive(dim, made, univariate()), *norms(), Reverse()) for _ in layer_range(layers)]
        super().__init__(*(layer for group in stack for layer in group))
