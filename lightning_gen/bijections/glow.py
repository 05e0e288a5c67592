"""Glow (Kingma and Dhariwal 2018): steps of activation norm, invertible 1x1 convolution and coupling; with a spline as
the map of an element a neural spline flow (Durkan et al. 2019), with a mixture of logistics a Flow++ (Ho et al. 2019).
"""

from collections.abc import Callable
from typing import final

from lightning_gen.bijections.base import Bijection, Compose
from lightning_gen.bijections.primitives.coupling import ChannelCoupling, Conditioner
from lightning_gen.bijections.primitives.elementwise import Logit
from lightning_gen.bijections.primitives.linear import ActNorm, NormedConv
from lightning_gen.bijections.primitives.multiscale import FactorOut, Flatten, Squeeze, count_scales
from lightning_gen.bijections.primitives.reversible import Stored
from lightning_gen.bijections.primitives.univariate import Affine, Univariate
from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec

__all__ = ["Glow"]


@final
class Glow(Compose):
    """A scale is squeeze, then steps of activation norm, 1x1 convolution and coupling; half of the variables leave,
    their Gaussian a function of those that stay (Kingma and Dhariwal 2018, Figure 2).

    Args:
        spec: of the images; even sides.
        context_dim: length of the context; 0: none.
        conditioner: called with (channels in, channels out).
        univariate: makes the map of an element: `Affine`, or `RationalQuadratic` for a neural spline flow.
        scales: L, number of squeezes; fewer where a side cannot be halved so often.
        steps: K, of each scale, 1 or more.
        prior: decides the Gaussian of what leaves, called with (channels in, channels out); None: `conditioner` again;
            `lightning_gen.nets.flow.conditioner.ZeroConv`, one convolution, is that of the authors' code and cheaper.
        chain: puts the steps of a scale together, called with their list: `Stored` of
            `lightning_gen.bijections.primitives.reversible`, or `Reversible`, which trains in memory that does not grow
            with K.
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
        steps: int = 4,
        prior: Conditioner | None = None,
        chain: Callable[[list[Bijection]], Bijection] = Stored,
        alpha: float = 0.05,
    ) -> None:
        check_counts("bijection", steps=steps)

        def step(channels: int) -> list[Bijection]:
            return [NormedConv(channels), ChannelCoupling(channels, conditioner, univariate(), False, context_dim)]

        def scale(shape: tuple[int, int, int], left: int) -> Bijection:
            squeezed = channels, height, width = 4 * shape[0], shape[1] // 2, shape[2] // 2
            layers = [Squeeze(), chain([layer for _ in range(steps) for layer in step(channels)])]
            if left == 1:
                return Compose(*layers, ActNorm(channels), Flatten(squeezed))
            # The Gaussian of what leaves, given what stays, is an affine map of a standard one.
            leaving = ChannelCoupling(channels, prior or conditioner, Affine(), False, context_dim)
            rest = scale((channels // 2, height, width), left - 1)
            return Compose(*layers, leaving, FactorOut(squeezed, rest))

        super().__init__(Logit(alpha), scale(spec.shape, count_scales(spec, scales)))
