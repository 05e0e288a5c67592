"""Every bijection: exact inverse, and log|det| against autograd's Jacobian, in float64."""

from functools import partial

import pytest
import torch
from torch import nn

from lightning_gen.bijections.flowpp import MixtureOfLogistics
from lightning_gen.bijections.glow import Glow
from lightning_gen.bijections.maf import MaskedAutoregressiveFlow
from lightning_gen.bijections.neural_spline import RationalQuadratic
from lightning_gen.bijections.nice import NICE
from lightning_gen.bijections.planar import PlanarFlow, RadialFlow
from lightning_gen.bijections.primitives.autoregressive import Inverted
from lightning_gen.bijections.primitives.coupling import ChannelCoupling, CheckerboardCoupling, VectorCoupling
from lightning_gen.bijections.primitives.elementwise import Logit
from lightning_gen.bijections.primitives.linear import ActNorm, BatchNorm, InvertibleConv, NormedConv, Scaling
from lightning_gen.bijections.primitives.multiscale import FactorOut, Flatten, Interleave, Squeeze
from lightning_gen.bijections.primitives.reversible import Reversible, Stored
from lightning_gen.bijections.primitives.univariate import Additive, Affine
from lightning_gen.bijections.realnvp import RealNVP, VectorRealNVP
from lightning_gen.bijections.residual import Exact, Residual, ResidualFlow, Roulette
from lightning_gen.bijections.sylvester import Householder, Orthogonal, SylvesterFlow, Triangular
from lightning_gen.bijections.tarflow import AutoregressivePatches, Patches, TarFlow
from lightning_gen.bijections.vectors import VectorFlow
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.flow.conditioner import ConvConditioner, GlowConditioner, MLPConditioner, ZeroConv
from lightning_gen.nets.flow.lipschitz import LipschitzMLP
from lightning_gen.nets.flow.made import MADE
from lightning_gen.nets.flow.patch_transformer import PatchTransformer


def _conv(a, b):
    return ConvConditioner(a, b, width=8, blocks=1)


def _mlp(a, k, b):
    return MLPConditioner(a, k, b, width=8)


def _made(a, k, b):
    return MADE(a, k, b, width=12)


def _contraction(d, k):
    return LipschitzMLP(d, k, width=12)


def _glow(a, b):
    return GlowConditioner(a, b, width=8)


def _patches(n, d, k, out):
    return PatchTransformer(n, d, k, out, width=8, layers=1, heads=2)


def _flat_mlp(a, b):
    return MLPConditioner(a, 0, b, width=8)


GREY, COLOUR = ImageSpec(1, 8, 8, 17), ImageSpec(3, 4, 4, 17)
#: name -> (make, shape of x, amortised by a context)
CASES = {
    "logit": (lambda: Logit(), (1, 2, 2), False),
    "checkerboard": (lambda: CheckerboardCoupling(2, _conv, Affine(), odd=True), (2, 4, 4), False),
    "checkerboard, spline": (lambda: CheckerboardCoupling(2, _conv, RationalQuadratic(), odd=False), (2, 4, 4), False),
    "channel": (lambda: ChannelCoupling(4, _conv, Affine(), swap=True), (4, 2, 2), False),
    "channel, spline": (lambda: ChannelCoupling(4, _conv, RationalQuadratic(5, 0.5)), (4, 2, 2), False),
    "vector, additive": (lambda: VectorCoupling(5, _flat_mlp, Additive(), swap=True), (5,), False),
    "channel, mixture": (lambda: ChannelCoupling(4, _conv, MixtureOfLogistics(3)), (4, 2, 2), False),
    "channel, context": (lambda: ChannelCoupling(4, _glow, Affine(), False, 3), (4, 2, 2), True),
    "checkerboard, context": (lambda: CheckerboardCoupling(2, _conv, Affine(), True, 3), (2, 2, 2), True),
    "squeeze": (lambda: Squeeze(), (1, 4, 4), False),
    "factor out": (lambda: FactorOut((4, 2, 2), Flatten((2, 2, 2))), (4, 2, 2), False),
    "interleave": (lambda: Interleave(), (5,), False),
    "patches": (lambda: Patches((2, 4, 2), 2), (2, 4, 2), False),
    "autoregressive patches": (lambda: AutoregressivePatches(_patches(4, 3, 3, 6), Affine()), (4, 3), True),
    "scaling": (lambda: Scaling(5), (5,), False),
    "actnorm": (lambda: ActNorm(3), (3, 2, 2), False),
    "actnorm of vectors": (lambda: ActNorm(5), (5,), False),
    "batch norm": (lambda: BatchNorm(3), (3, 2, 2), False),
    "1x1 convolution": (lambda: InvertibleConv(5), (5, 2, 2), False),
    "normed 1x1 convolution": (lambda: NormedConv(5), (5, 2, 2), False),
    "reversible": (lambda: Reversible([NormedConv(4), ChannelCoupling(4, _glow, Affine())]), (4, 2, 2), False),
    "realnvp": (lambda: RealNVP(GREY, 0, _conv), (1, 8, 8), False),
    "realnvp, colour": (lambda: RealNVP(COLOUR, 3, _conv), (3, 4, 4), True),
    "realnvp, batch norm": (lambda: RealNVP(COLOUR, 0, _conv, norm=BatchNorm), (3, 4, 4), False),
    "glow": (lambda: Glow(GREY, 0, _glow, steps=2), (1, 8, 8), False),
    "glow, prior": (lambda: Glow(COLOUR, 3, _glow, steps=1, prior=ZeroConv), (3, 4, 4), True),
    "glow, splines": (lambda: Glow(COLOUR, 3, _conv, RationalQuadratic, steps=2), (3, 4, 4), True),
    "flow++": (lambda: Glow(COLOUR, 0, _conv, MixtureOfLogistics, steps=2), (3, 4, 4), False),
    "nice": (lambda: NICE(GREY, 0, _mlp), (1, 8, 8), False),
    "nice, context": (lambda: NICE(COLOUR, 3, _mlp), (3, 4, 4), True),
    "tarflow": (lambda: TarFlow(COLOUR, 0, _patches, layers=2), (3, 4, 4), False),
    "tarflow, splines": (lambda: TarFlow(COLOUR, 3, _patches, RationalQuadratic, layers=2), (3, 4, 4), True),
    "autoregressive, batch norm": (lambda: MaskedAutoregressiveFlow(5, 0, _made, norm=BatchNorm), (5,), False),
    "vector": (lambda: VectorRealNVP(5, 3, _mlp), (5,), True),
    "vector, splines": (lambda: VectorRealNVP(5, 3, _mlp, RationalQuadratic), (5,), True),
    "planar": (lambda: PlanarFlow(5, 3), (5,), True),
    "planar, alone": (lambda: PlanarFlow(5, 0), (5,), False),
    "radial": (lambda: RadialFlow(5, 3), (5,), True),
    "sylvester, orthogonal": (lambda: SylvesterFlow(5, 3, lambda d, k: Orthogonal(d, k, 3), 2), (5,), True),
    "sylvester, householder": (lambda: SylvesterFlow(5, 3, Householder, 2), (5,), True),
    "sylvester, triangular": (lambda: SylvesterFlow(5, 3, Triangular, 2), (5,), True),
    "sylvester, alone": (lambda: SylvesterFlow(5, 0, layers=2), (5,), False),
    "autoregressive": (lambda: MaskedAutoregressiveFlow(5, 3, _made), (5,), True),
    "autoregressive, splines": (lambda: MaskedAutoregressiveFlow(5, 3, _made, RationalQuadratic), (5,), True),
    "autoregressive, alone": (lambda: MaskedAutoregressiveFlow(5, 0, _made), (5,), False),
    "inverted": (lambda: Inverted(5, 3, lambda d, k: MaskedAutoregressiveFlow(d, k, _made)), (5,), True),
    "residual": (lambda: ResidualFlow(5, 3, _contraction, layers=2), (5,), True),
    "residual, roulette": (lambda: ResidualFlow(5, 0, _contraction, Roulette, layers=2), (5,), False),
    "autoregressive of pictures": (
        lambda: VectorFlow(ImageSpec(1, 2, 2, 17), 0, lambda d, k: MaskedAutoregressiveFlow(d, k, _made)),
        (1, 2, 2),
        False,
    ),
}
#: those that a context decides about
AMORTISED = [name for name, (_, _, amortised) in CASES.items() if amortised]


def _randomised(make):
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


@pytest.mark.parametrize("name", CASES)
def test_log_det_against_autograd(name):
    make, shape, amortised = CASES[name]
    bijection = _randomised(make)
    x = torch.rand(3, *shape, dtype=torch.float64)
    context = torch.randn(3, 3, dtype=torch.float64) if amortised else None
    _, log_det = bijection(x, context)
    for i in range(3):
        one = None if context is None else context[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(
            lambda flat, one=one: bijection(flat.view(1, *shape), one)[0].flatten(), x[i].flatten()
        )
        torch.testing.assert_close(log_det[i], torch.linalg.slogdet(jacobian).logabsdet, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_inverse_is_exact(name):
    make, shape, amortised = CASES[name]
    bijection = _randomised(make)
    x = torch.rand(5, *shape, dtype=torch.float64)
    context = torch.randn(5, 3, dtype=torch.float64) if amortised else None
    z, _ = bijection(x, context)
    torch.testing.assert_close(bijection.inverse(z, context), x, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", AMORTISED)
def test_the_map_depends_on_its_context(name):
    make, shape, _ = CASES[name]
    flow, x = _randomised(make), torch.rand(1, *shape, dtype=torch.float64)
    (a, log_a), (b, log_b) = (flow(x, torch.randn(1, 3, dtype=torch.float64)) for _ in range(2))
    assert not torch.allclose(a, b)
    if not name.startswith("nice"):  # which keeps volumes
        assert not torch.allclose(log_a, log_b)


@pytest.mark.parametrize("basis", [lambda: Orthogonal(5, 3, 4), lambda: Householder(5, 3), lambda: Triangular(5, 3)])
def test_the_directions_of_sylvester_flows_are_orthonormal(basis):
    torch.manual_seed(0)
    q = basis().double()(torch.rand(4, 5, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64))
    torch.testing.assert_close(q.mT @ q, torch.eye(q.shape[2], dtype=torch.float64).expand(4, -1, -1))


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"logit", "squeeze", "factor out", "interleave", "patches"}))
def test_every_parameter_gets_a_gradient(name):
    make, shape, amortised = CASES[name]
    bijection = _randomised(make)
    x = torch.rand(4, *shape, dtype=torch.float64)
    z, log_det = bijection(x, torch.randn(4, 3, dtype=torch.float64) if amortised else None)
    (z.square().sum() - log_det.sum()).backward()
    assert [name for name, p in bijection.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", sorted(name for name in CASES if not name.startswith("sylvester")))
def test_under_16_bits_maps_and_log_determinants_keep_32(name):
    """Sylvester flows are for posteriors, whose codes have the precision of the encoder."""
    make, shape, amortised = CASES[name]
    bijection = _randomised(make).float()
    x, context = torch.rand(2, *shape), torch.randn(2, 3) if amortised else None
    with torch.autocast("cpu", torch.bfloat16):
        z, log_det = bijection(x, context)
        again = bijection.inverse(z, context)
    assert (z.dtype, log_det.dtype, again.dtype) == (torch.float32,) * 3
    if "spline" not in name and "mixture" not in name:  # the networks are the same both ways, but for rounding
        torch.testing.assert_close(again, x, atol=2e-2, rtol=0)


@pytest.mark.parametrize(
    "univariate", [Additive(), Affine(), RationalQuadratic(), MixtureOfLogistics()], ids=lambda u: type(u).__name__
)
def test_zero_parameters_mean_the_identity(univariate):
    x = torch.linspace(-6, 6, 50, dtype=torch.float64)[:, None]
    y, log_slope = univariate(x, torch.zeros(50, univariate.parameters_per_element, dtype=torch.float64))
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(log_slope, torch.zeros_like(x))


def test_splines_increase_and_meet_the_identity_at_the_ends():
    univariate = RationalQuadratic(bins=6, bound=2.0)
    raw = (3 * torch.randn(1, univariate.parameters_per_element, dtype=torch.float64)).expand(4001, -1)
    x = torch.linspace(-2.5, 2.5, 4001, dtype=torch.float64)[:, None]
    y, _ = univariate(x, raw)
    assert (y.diff(dim=0) > 0).all()
    assert torch.equal(y[x.abs() > 2.0], x[x.abs() > 2.0])
    assert y.diff(dim=0).max() < 1.0, "a jump"


def test_the_first_training_batch_sets_activation_norm_and_no_later_one():
    norm, x = ActNorm(3), 5.0 + 2.0 * torch.randn(50, 3, 4, 4)
    norm.eval()(x)
    assert not norm.ready, "set outside training"
    z, _ = norm.train()(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
    again = ActNorm(3).train()
    again.load_state_dict(norm.state_dict())
    assert torch.equal(again(x + 7.0)[0], norm(x + 7.0)[0]), "a reloaded norm was set anew"


def test_one_convolution_is_activation_norm_and_convolution():
    both = _randomised(lambda: NormedConv(5))
    x = torch.rand(3, 5, 2, 2, dtype=torch.float64)
    y, log_det = both.norm(x)
    z, more = both.conv(y)
    torch.testing.assert_close(both(x), (z, log_det + more))
    fresh, twin = NormedConv(5).train(), ActNorm(5).train()
    fresh(x.float()), twin(x.float())
    assert torch.equal(fresh.norm.bias, twin.bias), "the first batch"
    assert fresh.norm.ready


def test_batch_norm_normalises_the_batch_and_afterwards_by_averages():
    norm, x = BatchNorm(3, momentum=1.0).train(), 5.0 + 2.0 * torch.randn(50, 3, 4, 4)
    z, log_det = norm(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="no inverse in training mode"):
        norm.inverse(z)
    torch.testing.assert_close(norm.eval()(x), (z, log_det), atol=1e-4, rtol=1e-4)  # momentum 1: the same moments
    with pytest.raises(UserError, match=r"norm.momentum is 0: want above 0"):
        BatchNorm(3, momentum=0)


def _steps(chain, count, channels=4):
    torch.manual_seed(0)
    pairs = [(NormedConv(channels), ChannelCoupling(channels, _glow, Affine(), False, 3)) for _ in range(count)]
    chain = chain([bijection for pair in pairs for bijection in pair]).double()
    for p in chain.parameters():
        nn.init.normal_(p, 0.0, 0.3)
    return chain


def test_reversible_gradients_are_the_stored_ones():
    gradients = []
    for chain in (_steps(Stored, 3), _steps(Reversible, 3)):
        torch.manual_seed(1)
        x = torch.randn(4, 4, 2, 2, dtype=torch.float64, requires_grad=True)
        context = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
        z, log_det = chain.train()(x, context)
        (z.square().sum() - log_det.sum()).backward()
        gradients.append([x.grad, context.grad, *(p.grad for p in chain.parameters())])
    for stored, reversible in zip(*gradients, strict=True):
        torch.testing.assert_close(reversible, stored)


def test_reversible_saves_no_more_with_more_steps():
    def saved(chain):
        count, x = 0, torch.randn(4, 4, 2, 2, dtype=torch.float64)

        def pack(tensor):
            nonlocal count
            count += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            chain(x, torch.randn(4, 3, dtype=torch.float64))
        return count

    assert saved(_steps(Reversible, 2)) == saved(_steps(Reversible, 8)) < saved(_steps(Stored, 2))
    assert saved(_steps(Stored, 8)) > 3 * saved(_steps(Stored, 2))


@pytest.mark.parametrize("module", [nn.Dropout(0.1), BatchNorm(4)], ids=lambda m: type(m).__name__)
def test_reversible_refuses_what_a_second_pass_would_do_differently(module):
    with pytest.raises(UserError, match=f"holds {type(module).__name__}: want none"):
        Reversible([ChannelCoupling(4, lambda a, b: nn.Sequential(_conv(a, b), module), Affine())])


def test_the_inverse_of_a_mixture_has_a_gradient():
    univariate = MixtureOfLogistics(3)
    y, raw = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 22, dtype=torch.float64)
    assert torch.autograd.gradcheck(univariate.inverse, (y.requires_grad_(), raw.requires_grad_()), eps=1e-5)


def test_components_of_a_mixture_part():
    """All alike at first, they would stay so if each learnt at the same pace."""
    univariate, raw = MixtureOfLogistics(2), nn.Parameter(torch.zeros(1, 8, dtype=torch.float64))
    x = torch.tensor([[2.0]], dtype=torch.float64)
    univariate(x, raw)[0].sum().backward()
    assert not torch.isclose(raw.grad[0, 2], raw.grad[0, 3])


def _residual(log_det):
    """Nearly as strong as a contraction may be: where x is large, g is close to -0.9 x."""
    net = LipschitzMLP(3, width=3, layers=1, coefficient=0.95)
    with torch.no_grad():
        for weight, sign in zip(net.weights, (10.0, -10.0), strict=True):
            weight.copy_(sign * torch.eye(3) + torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]]))
        for bias in net.biases:
            bias.zero_()
    return Residual(net, log_det).double()


@torch.no_grad()
def test_the_estimated_log_determinant_of_a_residual_flow_has_no_bias():
    """In training; in eval mode there is no estimate."""
    torch.manual_seed(0)
    exact, estimate = _residual(Exact()), _residual(Roulette(1, 0.8))
    x = torch.rand(1, 3, dtype=torch.float64)
    value = exact(x)[1]
    draws = torch.cat([estimate(x.expand(50, -1))[1] for _ in range(600)]).view(600, 50).mean(1)
    error = draws.std() / len(draws) ** 0.5
    assert value < -1.0
    assert 0 < error < 0.05 * value.abs()
    assert (draws.mean() - value).abs() < 4 * error
    assert torch.equal(estimate.eval()(x)[1], value)


def test_a_strong_residual_flow_inverts_and_its_inverse_has_a_gradient():
    torch.manual_seed(0)
    flow = _residual(Exact())
    x = 2.0 * torch.randn(20, 3, dtype=torch.float64)
    z, log_det = flow(x)
    assert log_det.min() < -2.0
    torch.testing.assert_close(flow.inverse(z), x, atol=1e-10, rtol=0)
    assert torch.autograd.gradcheck(flow.inverse, (z[:3].detach().requires_grad_(),))
    single = flow.float()
    torch.testing.assert_close(single.inverse(single(x.float())[0]), x.float(), atol=1e-5, rtol=0)


def test_a_channel_that_never_changes_stays_finite():
    z, log_det = ActNorm(1)(torch.zeros(4, 1, 2, 2))
    assert z.isfinite().all()
    assert log_det.isfinite().all()


@pytest.mark.parametrize("make", [RealNVP, Glow])
def test_the_number_of_scales_follows_the_sides(make):
    # 28 -> 14 -> 7 ends there
    x = torch.rand(2, 1, 28, 28)
    bijection = make(ImageSpec(1, 28, 28), 0, _conv, scales=5)
    bijection(x)
    z, _ = bijection.eval()(x)
    assert z.shape == (2, 784)
    torch.testing.assert_close(bijection.inverse(z), x, atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="7x8 pixels"):
        make(ImageSpec(1, 7, 8), 0, _conv)
    with pytest.raises(UserError, match="scales is 0"):
        make(ImageSpec(1, 8, 8), 0, _conv, scales=0)


@pytest.mark.parametrize("arguments", [{"bins": 1}, {"bound": 0.0}, {"smallest": 0.5}])
def test_bad_splines_are_refused_in_one_line(arguments):
    with pytest.raises(UserError, match=f"transform.{next(iter(arguments))}"):
        RationalQuadratic(**arguments)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Logit(0.5), "bijection.alpha is 0.5: want above 0, below 0.5"),
        (lambda: MixtureOfLogistics(0), "transform.components is 0: want 1 or more"),
        (lambda: Patches((1, 7, 8), 2), "bijection.patch is 2: want a divisor of 7 and 8 pixels"),
        (lambda: Roulette(terms=0), "log_det.terms is 0: want 1 or more"),
        (lambda: Roulette(go_on=1.0), "log_det.go_on is 1.0: want above 0, below 1"),
        (lambda: LipschitzMLP(2, coefficient=1.0), "net.coefficient is 1.0: want above 0, below 1"),
        (partial(PatchTransformer, 4, 3, 0, 6, layers=0), "net.layers is 0: want 1 or more"),
        (partial(PatchTransformer, 4, 3, 0, 6, width=9), "net.width is 9: want a multiple of 4 heads"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(make, words):
    with pytest.raises(UserError, match=words):
        make()
