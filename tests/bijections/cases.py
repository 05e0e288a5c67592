"""Every bijection, small, and as if it had learnt something."""

import torch

from lightning_gen.bijections.flowpp import MixtureOfLogistics
from lightning_gen.bijections.glow import Glow
from lightning_gen.bijections.maf import MaskedAutoregressiveFlow
from lightning_gen.bijections.neural_importance_sampling import PiecewiseLinear
from lightning_gen.bijections.neural_spline import RationalQuadratic
from lightning_gen.bijections.nice import NICE
from lightning_gen.bijections.planar import PlanarFlow, RadialFlow
from lightning_gen.bijections.primitives.autoregressive import Inverted
from lightning_gen.bijections.primitives.coupling import ChannelCoupling, CheckerboardCoupling, VectorCoupling
from lightning_gen.bijections.primitives.elementwise import Logit
from lightning_gen.bijections.primitives.linear import ActNorm, BatchNorm, InvertibleConv, NormedConv, Scaling
from lightning_gen.bijections.primitives.multiscale import FactorOut, Flatten, Interleave, Squeeze
from lightning_gen.bijections.primitives.reversible import Reversible
from lightning_gen.bijections.primitives.univariate import Additive, Affine
from lightning_gen.bijections.realnvp import RealNVP, VectorRealNVP
from lightning_gen.bijections.residual import ResidualFlow, Roulette
from lightning_gen.bijections.sylvester import Householder, Orthogonal, SylvesterFlow, Triangular
from lightning_gen.bijections.tarflow import AutoregressivePatches, Patches, TarFlow
from lightning_gen.bijections.vectors import VectorFlow
from lightning_gen.images import ImageSpec
from lightning_gen.nets.flow.conditioner import ConvConditioner, GlowConditioner, MLPConditioner, ZeroConv
from lightning_gen.nets.flow.lipschitz import LipschitzMLP
from lightning_gen.nets.flow.made import MADE
from lightning_gen.nets.flow.patch_transformer import PatchTransformer


def conv(a, b):
    return ConvConditioner(a, b, width=8, blocks=1)


def mlp(a, k, b):
    return MLPConditioner(a, k, b, width=8)


def made(a, k, b):
    return MADE(a, k, b, width=12)


def contraction(d, k):
    return LipschitzMLP(d, k, width=12)


def glow(a, b):
    return GlowConditioner(a, b, width=8)


def patches(n, d, k, out):
    return PatchTransformer(n, d, k, out, width=8, layers=1, heads=2)


def flat_mlp(a, b):
    return MLPConditioner(a, 0, b, width=8)


GREY, COLOUR = ImageSpec(1, 8, 8, 17), ImageSpec(3, 4, 4, 17)
#: name -> (make, shape of x, amortised by a context)
CASES = {
    "logit": (lambda: Logit(), (1, 2, 2), False),
    "checkerboard": (lambda: CheckerboardCoupling(2, conv, Affine(), odd=True), (2, 4, 4), False),
    "checkerboard, spline": (lambda: CheckerboardCoupling(2, conv, RationalQuadratic(), odd=False), (2, 4, 4), False),
    "channel": (lambda: ChannelCoupling(4, conv, Affine(), swap=True), (4, 2, 2), False),
    "checkerboard, piecewise linear": (
        lambda: CheckerboardCoupling(2, conv, PiecewiseLinear(), odd=False),
        (2, 4, 4),
        False,
    ),
    "channel, spline": (lambda: ChannelCoupling(4, conv, RationalQuadratic(5, 0.5)), (4, 2, 2), False),
    "vector, additive": (lambda: VectorCoupling(5, flat_mlp, Additive(), swap=True), (5,), False),
    "channel, mixture": (lambda: ChannelCoupling(4, conv, MixtureOfLogistics(3)), (4, 2, 2), False),
    "channel, context": (lambda: ChannelCoupling(4, glow, Affine(), False, 3), (4, 2, 2), True),
    "checkerboard, context": (lambda: CheckerboardCoupling(2, conv, Affine(), True, 3), (2, 2, 2), True),
    "squeeze": (lambda: Squeeze(), (1, 4, 4), False),
    "factor out": (lambda: FactorOut((4, 2, 2), Flatten((2, 2, 2))), (4, 2, 2), False),
    "interleave": (lambda: Interleave(), (5,), False),
    "patches": (lambda: Patches((2, 4, 2), 2), (2, 4, 2), False),
    "autoregressive patches": (lambda: AutoregressivePatches(patches(4, 3, 3, 6), Affine()), (4, 3), True),
    "scaling": (lambda: Scaling(5), (5,), False),
    "actnorm": (lambda: ActNorm(3), (3, 2, 2), False),
    "actnorm of vectors": (lambda: ActNorm(5), (5,), False),
    "batch norm": (lambda: BatchNorm(3), (3, 2, 2), False),
    "1x1 convolution": (lambda: InvertibleConv(5), (5, 2, 2), False),
    "normed 1x1 convolution": (lambda: NormedConv(5), (5, 2, 2), False),
    "reversible": (lambda: Reversible([NormedConv(4), ChannelCoupling(4, glow, Affine())]), (4, 2, 2), False),
    "realnvp": (lambda: RealNVP(GREY, 0, conv), (1, 8, 8), False),
    "realnvp, colour": (lambda: RealNVP(COLOUR, 3, conv), (3, 4, 4), True),
    "realnvp, batch norm": (lambda: RealNVP(COLOUR, 0, conv, norm=BatchNorm), (3, 4, 4), False),
    "glow": (lambda: Glow(GREY, 0, glow, steps=2), (1, 8, 8), False),
    "glow, prior": (lambda: Glow(COLOUR, 3, glow, steps=1, prior=ZeroConv), (3, 4, 4), True),
    "glow, splines": (lambda: Glow(COLOUR, 3, conv, RationalQuadratic, steps=2), (3, 4, 4), True),
    "flow++": (lambda: Glow(COLOUR, 0, conv, MixtureOfLogistics, steps=2), (3, 4, 4), False),
    "nice": (lambda: NICE(GREY, 0, mlp), (1, 8, 8), False),
    "nice, context": (lambda: NICE(COLOUR, 3, mlp), (3, 4, 4), True),
    "tarflow": (lambda: TarFlow(COLOUR, 0, patches, layers=2), (3, 4, 4), False),
    "tarflow, splines": (lambda: TarFlow(COLOUR, 3, patches, RationalQuadratic, layers=2), (3, 4, 4), True),
    "autoregressive, batch norm": (lambda: MaskedAutoregressiveFlow(5, 0, made, norm=BatchNorm), (5,), False),
    "vector": (lambda: VectorRealNVP(5, 3, mlp), (5,), True),
    "vector, splines": (lambda: VectorRealNVP(5, 3, mlp, RationalQuadratic), (5,), True),
    "planar": (lambda: PlanarFlow(5, 3), (5,), True),
    "planar, alone": (lambda: PlanarFlow(5, 0), (5,), False),
    "radial": (lambda: RadialFlow(5, 3), (5,), True),
    "sylvester, orthogonal": (lambda: SylvesterFlow(5, 3, lambda d, k: Orthogonal(d, k, 3), 2), (5,), True),
    "sylvester, householder": (lambda: SylvesterFlow(5, 3, Householder, 2), (5,), True),
    "sylvester, triangular": (lambda: SylvesterFlow(5, 3, Triangular, 2), (5,), True),
    "sylvester, alone": (lambda: SylvesterFlow(5, 0, layers=2), (5,), False),
    "autoregressive": (lambda: MaskedAutoregressiveFlow(5, 3, made), (5,), True),
    "autoregressive, splines": (lambda: MaskedAutoregressiveFlow(5, 3, made, RationalQuadratic), (5,), True),
    "autoregressive, alone": (lambda: MaskedAutoregressiveFlow(5, 0, made), (5,), False),
    "inverted": (lambda: Inverted(5, 3, lambda d, k: MaskedAutoregressiveFlow(d, k, made)), (5,), True),
    "residual": (lambda: ResidualFlow(5, 3, contraction, layers=2), (5,), True),
    "residual, roulette": (lambda: ResidualFlow(5, 0, contraction, Roulette, layers=2), (5,), False),
    "autoregressive of pictures": (
        lambda: VectorFlow(ImageSpec(1, 2, 2, 17), 0, lambda d, k: MaskedAutoregressiveFlow(d, k, made)),
        (1, 2, 2),
        False,
    ),
}
#: those that a context decides about
AMORTISED = [name for name, (_, _, amortised) in CASES.items() if amortised]


def randomised(make):
    torch.manual_seed(0)
    bijection = make().double()
    for module in bijection.modules():  # as if they had seen data
        if isinstance(module, ActNorm):
            module.is_set = True
        if isinstance(module, BatchNorm):
            module.mean.uniform_(-1, 1)
            module.variance.uniform_(0.5, 2)
    bijection.eval()
    for parameter in bijection.parameters():  # zero-initialised heads would make the test trivial
        torch.nn.init.normal_(parameter, 0.0, 0.1)
    return bijection
