"""Bijections named after papers, wired from the layers."""

from collections.abc import Callable, Iterator
from typing import final

from torch import nn

from lightning_gen.bijections.autoregressive import MaskedAutoregressive, Reverse
from lightning_gen.bijections.base import Bijection, Compose
from lightning_gen.bijections.coupling import ChannelCoupling, CheckerboardCoupling, Conditioner, VectorCoupling
from lightning_gen.bijections.elementwise import Logit
from lightning_gen.bijections.linear import ActNorm, NormedConv, Scaling
from lightning_gen.bijections.multiscale import FactorOut, Flatten, Interleave, Squeeze
from lightning_gen.bijections.patches import AutoregressivePatches, Patches, PatchNet
from lightning_gen.bijections.planar import Planar, Radial
from lightning_gen.bijections.residual import Exact, LogDeterminant, Residual
from lightning_gen.bijections.reversible import Stored
from lightning_gen.bijections.sylvester import Basis, Orthogonal, Sylvester
from lightning_gen.bijections.univariate import Additive, Affine, Univariate
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = [
    "NICE",
    "AutoregressiveStack",
    "Glow",
    "OfVectors",
    "PlanarStack",
    "RadialStack",
    "RealNVP",
    "ResidualStack",
    "SylvesterStack",
    "TarFlow",
    "VectorRealNVP",
]


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


def _scales(spec: ImageSpec, most: int) -> int:
    """How often the sides can be halved: once, and on while they stay even with 4 pixels or more, `most` times."""
    check_counts("bijection", scales=most)
    if any(n % 2 for n in spec.shape[1:]):
        raise UserError(f"data has {spec.height}x{spec.width} pixels: a multi-scale flow wants even sides")
    possible = 1
    while possible < most and all(n % 2 ** (possible + 1) == 0 and n > 2 ** (possible + 1) for n in spec.shape[1:]):
        possible += 1
    return possible


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

        super().__init__(Logit(alpha), scale(spec.shape, _scales(spec, scales)))


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
        chain: puts the steps of a scale together, called with their list: `lightning_gen.bijections.reversible.Stored`,
            or `Reversible`, which trains in memory that does not grow with K.
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

        super().__init__(Logit(alpha), scale(spec.shape, _scales(spec, scales)))


@final
class TarFlow(Compose):
    """Autoregressive maps over patches by transformers, the order reversed between them (Zhai et al. 2025).
    The logit in front is ours; the paper feeds pixels and noise as they are.

    Args:
        spec: of the images.
        context_dim: K; 0: no context.
        net: see `lightning_gen.bijections.patches.PatchNet`.
        univariate: makes the map of an element.
        patch: side of a patch; divides the sides of the image.
        layers: number of maps, 1 or more.
        alpha: of the logit in front.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        context_dim: int,
        net: PatchNet,
        univariate: Callable[[], Univariate] = Affine,
        patch: int = 2,
        layers: int = 4,
        alpha: float = 0.05,
    ) -> None:
        patches = Patches(spec.shape, patch)
        values = spec.channels * patch**2
        count = spec.dims // values

        def layer() -> Bijection:
            map_ = univariate()
            return AutoregressivePatches(net(count, values, context_dim, map_.parameters_per_element * values), map_)

        stack = [(layer(), Reverse()) for _ in _layers(layers)]
        super().__init__(Logit(alpha), patches, *(part for pair in stack for part in pair), Flatten((count, values)))


@final
class OfVectors(Compose):
    """A flow of vectors as a flow of images: logit, flatten, and the flow of C*H*W entries.

    Args:
        spec: of the images.
        context_dim: K; 0: no context.
        flow: called with (C*H*W, K).
        alpha: of the logit in front.
    """

    def __init__(
        self, spec: ImageSpec, context_dim: int, flow: Callable[[int, int], Bijection], alpha: float = 0.05
    ) -> None:
        super().__init__(Logit(alpha), Flatten(spec.shape), flow(spec.dims, context_dim))


def _layers(count: int) -> range:
    check_counts("flow", layers=count)
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
        stack = [(MaskedAutoregressive(dim, made, univariate()), *norms(), Reverse()) for _ in _layers(layers)]
        super().__init__(*(layer for group in stack for layer in group))


@final
class ResidualStack(Compose):
    """`layers` residual maps of vectors with activation norms around them (Chen et al. 2019).

    Args:
        dim: D.
        context_dim: K; 0: no context.
        net: see `lightning_gen.bijections.residual.Contraction`; called with (D, K).
        log_det: how log|det| is found: `lightning_gen.bijections.residual.Exact`, or `Roulette` for long vectors.
        layers: number of maps, 1 or more.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        net: Callable[[int, int], nn.Module],
        log_det: Callable[[], LogDeterminant] = Exact,
        layers: int = 8,
    ) -> None:
        stack = [(ActNorm(dim), Residual(net(dim, context_dim), log_det())) for _ in _layers(layers)]
        super().__init__(*(layer for pair in stack for layer in pair), ActNorm(dim))


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
