"""NICE (Dinh et al. 2015): additive couplings and one scale per pixel."""

from collections.abc import Callable
from typing import final

from torch import nn

from lightning_gen.bijections.base import Compose
from lightning_gen.bijections.primitives.coupling import VectorCoupling
from lightning_gen.bijections.primitives.elementwise import Logit
from lightning_gen.bijections.primitives.linear import Scaling
from lightning_gen.bijections.primitives.multiscale import Flatten, Interleave
from lightning_gen.bijections.primitives.univariate import Additive
from lightning_gen.images import ImageSpec

__all__ = ["NICE"]


@final
class NICE(Compose):
    """Additive couplings of the flattened image, then one scale per pixel (Dinh et al. 2015, Section 5.1).

    Args:
        spec: of the images.
        context_dim: K; 0: no context.
        conditioner: called with (entries in, K, entries out).
        couplings: number of couplings; even and odd pixels alternate.
        alpha: of the logit in front.
    """

    def __init__(
        self,
        spec: ImageSpec,
        context_dim: int,
        conditioner: Callable[[int, int, int], nn.Module],
        couplings: int = 4,
        alpha: float = 0.05,
    ) -> None:
        def net(kept: int, out: int) -> nn.Module:
            return conditioner(kept, context_dim, out)

        layers = [VectorCoupling(spec.dims, net, Additive(), bool(i % 2)) for i in range(couplings)]
        super().__init__(Logit(alpha), Flatten(spec.shape), Interleave(), *layers, Scaling(spec.dims))
