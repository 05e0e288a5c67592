"""Bijections named after papers, wired from the layers."""

from collections.abc import Callable, Iterator
from typing import final

from torch import nn

from lightning_gen.bijections.autoregressive import MaskedAutoregressive, Reverse
from lightning_gen.bijections.base import Bijection, Compose
from lightning_gen.bijections.coupling import ChannelCoupling, CheckerboardCoupling, Conditioner, VectorCoupling
from lightning_gen.bijections.elementwise import Logit
from lightning_gen.bijections.linear import ActNorm, InvertibleConv, Scaling
from lightning_gen.bijections.multiscale import FactorOut, Flatten, Interleave, Squeeze
from lightning_gen.bijections.planar import Planar, Radial
from lightning_gen.bijections.sylvester import Basis, Orthogonal, Sylvester
from lightning_gen.bijections.univariate import Additive, Affine, Univariate
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

__all__ = [
    "NICE",
    "AutoregressiveStack",
    "Glow",
    "OfVectors",
    "PlanarStack",
    "RadialStack",
    "RealNVP",
    "SylvesterStack",
    "VectorRealNVP",
]


@final
class NICE(Compose):
    """Additive couplings of the flattened image, then one scale per pixel (Dinh et al. 2015, Section 5.1).

    Args:
        spec: of the images.
        conditioner: called with (entries in, 0, entries out).
        couplings: number of couplings; even and odd pixels alternate.
        alpha: of the logit in front.
    """

    def __init__(
        self,
        spec: ImageSpec,
        conditioner: Callable[[int, int, int], nn.Module],
        couplings: int = 4,
        alpha: float = 0.05,
    ) -> None:
        def net(kept: int, out: int) -> nn.Module:
            return conditioner(kept, 0, out)

        layers = [VectorCoupling(spec.dims, net, Additive(), bool(i % 2)) for i in range(couplings)]
        super().__init__(Logit(alpha), Flatten(spec.shape), Interleave(), *layers, Scaling(spec.dims))


def _scales(spec: ImageSpec, most: int) -> int:
    """How often the sides can be halved, at most `most` times and down to 2 pixels."""
    if most < 1:
        raise UserError(f"bijection.scales is {most}: want 1 or more")
    possible = 0
    while possible < most and all(n % 2 ** (possible + 1) == 0 and n > 2 ** (possible + 1) for n in spec.shape[1:]):
        possible += 1
    if not possible:
        raise UserError(f"data has {spec.height}x{spec.width} pixels: a multi-scale flow wants even sides, 4 or more")
    return possible


@final
class RealNVP(Compose):
    """Multi-scale RealNVP (Dinh et al. 2017, Section 3.6): a scale is checkerboard couplings, squeeze, couplings over
    channels, and half of the variables leave; the last scale is checkerboard couplings alone. Activation norm stands
    where the paper has batch norm: the density of an image must not depend on its batch.

    Args:
        spec: of the images; even sides.
        conditioner: called with (channels in, channels out).
        univariate: makes the map of an element.
        scales: number of squeezes; fewer where a side cannot be halved so often.
        couplings: of each kind per scale; one more checkerboard at the last.
        alpha: of the logit in front.

    Raises:
        UserError: a side is odd, or an argument is out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        conditioner: Conditioner,
        univariate: Callable[[], Univariate] = Affine,
        scales: int = 2,
        couplings: int = 3,
        alpha: float = 0.05,
    ) -> None:
        def checkerboards(channels: int, count: int) -> Iterator[Bijection]:
            for i in range(count):
                yield ActNorm(channels)
                yield CheckerboardCoupling(channels, conditioner, univariate(), bool(i % 2))

        def over_channels(channels: int) -> Iterator[Bijection]:
            for i in range(couplings):
                yield ActNorm(channels)
                yield ChannelCoupling(channels, conditioner, univariate(), bool(i % 2))

        def scale(shape: tuple[int, int, int], left: int) -> Bijection:
            channels, height, width = shape
            if not left:
                return Compose(*checkerboards(channels, couplings + 1), Flatten(shape))
            squeezed = (4 * channels, height // 2, width // 2)
            rest = scale((2 * channels, height // 2, width // 2), left - 1)
            layers = [*checkerboards(channels, couplings), Squeeze(), *over_channels(4 * channels)]
            return Compose(*layers, FactorOut(squeezed, rest))

        super().__init__(Logit(alpha), scale(spec.shape, _scales(spec, scales)))


@final
class Glow(Compose):
    """A scale is squeeze, then steps of activation norm, 1x1 convolution and coupling; half of the variables leave,
    their Gaussian a function of those that stay (Kingma and Dhariwal 2018, Figure 2).

    Args:
        spec: of the images; even sides.
        conditioner: called with (channels in, channels out).
        univariate: makes the map of an element: `Affine`, or `RationalQuadratic` for a neural spline flow.
        scales: L, number of squeezes; fewer where a side cannot be halved so often.
        steps: K, of each scale, 1 or more.
        alpha: of the logit in front.

    Raises:
        UserError: a side is odd, or an argument is out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        conditioner: Conditioner,
        univariate: Callable[[], Univariate] = Affine,
        scales: int = 2,
        steps: int = 4,
        alpha: float = 0.05,
    ) -> None:
        if steps < 1:
            raise UserError(f"bijection.steps is {steps}: want 1 or more")

        def step(channels: int) -> list[Bijection]:
            coupling = ChannelCoupling(channels, conditioner, univariate())
            return [ActNorm(channels), InvertibleConv(channels), coupling]

        def scale(shape: tuple[int, int, int], left: int) -> Bijection:
            squeezed = channels, height, width = 4 * shape[0], shape[1] // 2, shape[2] // 2
            layers = [Squeeze(), *(layer for _ in range(steps) for layer in step(channels))]
            if left == 1:
                return Compose(*layers, ActNorm(channels), Flatten(squeezed))
            # The Gaussian of what leaves, given what stays, is an affine map of a standard one.
            prior = ChannelCoupling(channels, conditioner, Affine())
            rest = scale((channels // 2, height, width), left - 1)
            return Compose(*layers, prior, FactorOut(squeezed, rest))

        super().__init__(Logit(alpha), scale(spec.shape, _scales(spec, scales)))


@final
class OfVectors(Compose):
    """A flow of vectors as a flow of images: logit, flatten, and the flow of C*H*W entries.

    Args:
        spec: of the images.
        flow: called with (C*H*W, 0).
        alpha: of the logit in front.
    """

    def __init__(self, spec: ImageSpec, flow: Callable[[int, int], Bijection], alpha: float = 0.05) -> None:
        super().__init__(Logit(alpha), Flatten(spec.shape), flow(spec.dims, 0))


def _layers(count: int) -> range:
    if count < 1:
        raise UserError(f"flow.layers is {count}: want 1 or more")
    return range(count)


@final
class PlanarStack(Compose):
    """`layers` planar flows, all amortised by the context (Rezende and Mohamed 2015)."""

    def __init__(self, dim: int, context_dim: int, layers: int = 8) -> None:
        super().__init__(*(Planar(dim, context_dim) for _ in _layers(layers)))


@final
class RadialStack(Compose):
    """`layers` radial flows, all amortised by the context (Rezende and Mohamed 2015)."""

    def __init__(self, dim: int, context_dim: int, layers: int = 8) -> None:
        super().__init__(*(Radial(dim, context_dim) for _ in _layers(layers)))


@final
class SylvesterStack(Compose):
    """`layers` Sylvester flows, amortised by the context, the entries reversed between them (van den Berg et al. 2018).

    Args:
        dim: D.
        context_dim: K; 0: not amortised.
        basis: directions of a layer, called with (D, K).
        layers: number of them.
    """

    def __init__(
        self, dim: int, context_dim: int, basis: Callable[[int, int], Basis] = Orthogonal, layers: int = 4
    ) -> None:
        stack = [(Sylvester(dim, context_dim, basis), Reverse()) for _ in _layers(layers)]
        super().__init__(*(layer for pair in stack for layer in pair))


@final
class AutoregressiveStack(Compose):
    """`layers` masked autoregressive maps, the entries reversed between them: IAF as a posterior, MAF as a prior or an
    image flow (see `lightning_gen.bijections.autoregressive`).

    Args:
        dim: D.
        context_dim: K; 0: no context.
        net: called with (D, K, parameters out).
        univariate: makes the map of an element.
        layers: number of maps.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        net: Callable[[int, int, int], nn.Module],
        univariate: Callable[[], Univariate] = Affine,
        layers: int = 2,
    ) -> None:
        def made(entries: int, out: int) -> nn.Module:
            return net(entries, context_dim, out)

        stack = [(MaskedAutoregressive(dim, made, univariate()), Reverse()) for _ in _layers(layers)]
        super().__init__(*(layer for pair in stack for layer in pair))


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
        super().__init__(*(VectorCoupling(dim, net, univariate(), bool(i % 2)) for i in _layers(layers)))
