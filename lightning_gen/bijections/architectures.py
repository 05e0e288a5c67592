"""Bijections named after papers, wired from the layers."""

from collections.abc import Callable

from torch import nn

from lightning_gen.bijections.base import Bijection, Compose
from lightning_gen.bijections.coupling import ChannelCoupling, CheckerboardCoupling, Squeeze, VectorCoupling
from lightning_gen.bijections.elementwise import Logit
from lightning_gen.bijections.planar import Planar
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

__all__ = ["PlanarStack", "RealNVP", "VectorRealNVP"]


class RealNVP(Compose):
    """RealNVP (Dinh et al. 2017, Section 3.6): a scale is checkerboard layers, squeeze, three over channels.

    Args:
        spec: of the images; height and width divisible by 2**scales.
        conditioner: called with (channels in, channels out).
        scales: number of squeezes, 1 or more.
        couplings: checkerboard layers per scale.
        alpha: of the logit in front.
    """

    def __init__(
        self,
        spec: ImageSpec,
        conditioner: Callable[[int, int], nn.Module],
        scales: int = 2,
        couplings: int = 4,
        alpha: float = 0.05,
    ) -> None:
        if spec.height % 2**scales or spec.width % 2**scales:
            raise UserError(
                f"scales is {scales}: want height {spec.height} and width {spec.width} divisible by 2^scales"
            )
        channels = spec.channels
        layers: list[Bijection] = [Logit(alpha)]
        for _ in range(scales):
            layers += [CheckerboardCoupling(channels, conditioner, bool(i % 2)) for i in range(couplings)]
            layers += [Squeeze()]
            channels *= 4
            layers += [ChannelCoupling(channels, conditioner, bool(i % 2)) for i in range(3)]
        super().__init__(*layers)


class PlanarStack(Compose):
    """`layers` planar flows, all amortised by the context (Rezende and Mohamed 2015)."""

    def __init__(self, dim: int, context_dim: int, layers: int = 8) -> None:
        super().__init__(*(Planar(dim, context_dim) for _ in range(layers)))


class VectorRealNVP(Compose):
    """`layers` affine couplings of vectors given a context.

    Args:
        dim: D.
        context_dim: K.
        conditioner: called with (entries in, K, entries out).
        layers: number of couplings; the halves alternate.
    """

    def __init__(
        self, dim: int, context_dim: int, conditioner: Callable[[int, int, int], nn.Module], layers: int = 4
    ) -> None:
        def net(kept: int, out: int) -> nn.Module:
            return conditioner(kept, context_dim, out)

        super().__init__(*(VectorCoupling(dim, net, bool(i % 2)) for i in range(layers)))
