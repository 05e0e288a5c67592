"""RealNVP (Dinh et al. 2017): affine couplings, of images over several scales, and of vectors."""

from collections.abc import Callable, Iterator
from typing import final

from torch import nn

from lightning_gen.bijections.base import Bijection, Compose, layer_range
from lightning_gen.bijections.primitives.coupling import (
    ChannelCoupling,
    CheckerboardCoupling,
    Conditioner,
    VectorCoupling,
)
from lightning_gen.bijections.primitives.elementwise import Logit
from lightning_gen.bijections.primitives.linear import ActNorm
from lightning_gen.bijections.primitives.multiscale import FactorOut, Flatten, Squeeze, count_scales
from lightning_gen.bijections.primitives.univariate import Affine, Univariate
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

__all__ = ["RealNVP", "VectorRealNVP"]


@final
class RealNVP(Compose):
    """Multi-scale RealNVP (Dinh et al. 2017, Section 3.6): a scale is checkerboard couplings, squeeze, couplings over
    channels, and half of the variables leave; the last scale is checkerboard couplings alone.

    Args:
        spec: of the images; even sides.
        context_dim: K; 0: no context.
        conditioner: called with (channels in, channels out).
        univariate: makes the map of an element.
        scales: number of squeezes; fewer where a side cannot be halved so often.
        couplings: of each kind per scale; one more checkerboard at the last.
        norm: stands before each coupling, called with (channels). The paper has `BatchNorm`; with `ActNorm` the density
            of an image does not depend on its batch.
        alpha: of the logit in front.

    Raises:
        UserError: a side is odd, or an argument is out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        context_dim: int,
        conditioner: Conditioner,
        univariate: Callable[[], Univariate] = Affine,
        scales: int = 2,
        couplings: int = 3,
        norm: Callable[[int], Bijection] = ActNorm,
        alpha: float = 0.05,
    ) -> None:
        def alternating(coupling: Callable[..., Bijection], channels: int, count: int) -> Iterator[Bijection]:
            for i in range(count):
                yield norm(channels)
                yield coupling(channels, conditioner, univariate(), bool(i % 2), context_dim)

        def scale(shape: tuple[int, int, int], left: int) -> Bijection:
            channels, height, width = shape
            if not left:
                return Compose(*alternating(CheckerboardCoupling, channels, couplings + 1), Flatten(shape))
            squeezed = (4 * channels, height // 2, width // 2)
            rest = scale((2 * channels, height // 2, width // 2), left - 1)
            before = alternating(CheckerboardCoupling, channels, couplings)
            behind = alternating(ChannelCoupling, 4 * channels, couplings)
            return Compose(*before, Squeeze(), *behind, FactorOut(squeezed, rest))

        super().__init__(Logit(alpha), scale(spec.shape, count_scales(spec, scales)))


@final
class VectorRealNVP(Compose):
    """`layers` couplings of vectors given a context.

    Args:
        dim: D, 2 or more.
        context_dim: K.
        conditioner: called with (entries in, K, entries out).
        univariate: makes the map of an element: `Affine`, or `RationalQuadratic` for splines.
        layers: number of couplings; the halves alternate.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        conditioner: Callable[[int, int, int], nn.Module],
        univariate: Callable[[], Univariate] = Affine,
        layers: int = 4,
    ) -> None:
        def net(kept: int, out: int) -> nn.Module:
            return conditioner(kept, context_dim, out)

        if dim < 2:
            raise UserError(f"flow of {dim} entries: a coupling wants 2 or more")
        super().__init__(*(VectorCoupling(dim, net, univariate(), bool(i % 2)) for i in layer_range(layers)))
