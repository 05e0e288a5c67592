"""Every bijection: exact inverse, and log|det| against autograd's Jacobian, in float64."""

import pytest
import torch

from lightning_gen.bijections.architectures import (
    NICE,
    AutoregressiveStack,
    Glow,
    OfVectors,
    PlanarStack,
    RadialStack,
    RealNVP,
    SylvesterStack,
    VectorRealNVP,
)
from lightning_gen.bijections.autoregressive import Inverted
from lightning_gen.bijections.coupling import ChannelCoupling, CheckerboardCoupling, VectorCoupling
from lightning_gen.bijections.elementwise import Logit
from lightning_gen.bijections.linear import ActNorm, InvertibleConv, Scaling
from lightning_gen.bijections.multiscale import FactorOut, Flatten, Interleave, Squeeze
from lightning_gen.bijections.sylvester import Householder, Orthogonal, Triangular
from lightning_gen.bijections.univariate import Additive, Affine, RationalQuadratic
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.conditioner import ConvConditioner, MLPConditioner
from lightning_gen.nets.made import MADE


def _conv(a, b):
    return ConvConditioner(a, b, width=8, blocks=1)


def _mlp(a, k, b):
    return MLPConditioner(a, k, b, width=8)


def _made(a, k, b):
    return MADE(a, k, b, width=12)


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
    "squeeze": (lambda: Squeeze(), (1, 4, 4), False),
    "factor out": (lambda: FactorOut((4, 2, 2), Flatten((2, 2, 2))), (4, 2, 2), False),
    "interleave": (lambda: Interleave(), (5,), False),
    "scaling": (lambda: Scaling(5), (5,), False),
    "actnorm": (lambda: ActNorm(3), (3, 2, 2), False),
    "1x1 convolution": (lambda: InvertibleConv(5), (5, 2, 2), False),
    "realnvp": (lambda: RealNVP(GREY, _conv), (1, 8, 8), False),
    "realnvp, colour": (lambda: RealNVP(COLOUR, _conv), (3, 4, 4), False),
    "glow": (lambda: Glow(GREY, _conv, steps=2), (1, 8, 8), False),
    "glow, splines": (lambda: Glow(COLOUR, _conv, RationalQuadratic, steps=2), (3, 4, 4), False),
    "nice": (lambda: NICE(GREY, _mlp), (1, 8, 8), False),
    "vector": (lambda: VectorRealNVP(5, 3, _mlp), (5,), True),
    "vector, splines": (lambda: VectorRealNVP(5, 3, _mlp, RationalQuadratic), (5,), True),
    "planar": (lambda: PlanarStack(5, 3), (5,), True),
    "planar, alone": (lambda: PlanarStack(5, 0), (5,), False),
    "radial": (lambda: RadialStack(5, 3), (5,), True),
    "sylvester, orthogonal": (lambda: SylvesterStack(5, 3, lambda d, k: Orthogonal(d, k, 3), 2), (5,), True),
    "sylvester, householder": (lambda: SylvesterStack(5, 3, Householder, 2), (5,), True),
    "sylvester, triangular": (lambda: SylvesterStack(5, 3, Triangular, 2), (5,), True),
    "sylvester, alone": (lambda: SylvesterStack(5, 0, layers=2), (5,), False),
    "autoregressive": (lambda: AutoregressiveStack(5, 3, _made), (5,), True),
    "autoregressive, splines": (lambda: AutoregressiveStack(5, 3, _made, RationalQuadratic), (5,), True),
    "autoregressive, alone": (lambda: AutoregressiveStack(5, 0, _made), (5,), False),
    "inverted": (lambda: Inverted(5, 3, lambda d, k: AutoregressiveStack(d, k, _made)), (5,), True),
    "autoregressive of pictures": (
        lambda: OfVectors(ImageSpec(1, 2, 2, 17), lambda d, k: AutoregressiveStack(d, k, _made)),
        (1, 2, 2),
        False,
    ),
}
#: amortised flows of vectors: what a posterior can be made of
AMORTISED = [name for name, (_, _, amortised) in CASES.items() if amortised]


def _randomised(make):
    torch.manual_seed(0)
    bijection = make().double().eval()
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
def test_the_parameters_of_a_posterior_flow_depend_on_the_image(name):
    flow = _randomised(CASES[name][0])
    x = torch.rand(1, 5, dtype=torch.float64)
    (a, log_a), (b, log_b) = (flow(x, torch.randn(1, 3, dtype=torch.float64)) for _ in range(2))
    assert not torch.allclose(a, b)
    assert not torch.allclose(log_a, log_b)


@pytest.mark.parametrize("basis", [lambda: Orthogonal(5, 3, 4), lambda: Householder(5, 3), lambda: Triangular(5, 3)])
def test_the_directions_of_sylvester_flows_are_orthonormal(basis):
    torch.manual_seed(0)
    q = basis().double()(torch.rand(4, 5, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64))
    torch.testing.assert_close(q.mT @ q, torch.eye(q.shape[2], dtype=torch.float64).expand(4, -1, -1))


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"logit", "squeeze", "factor out", "interleave"}))
def test_every_parameter_gets_a_gradient(name):
    make, shape, amortised = CASES[name]
    bijection = _randomised(make)
    x = torch.rand(4, *shape, dtype=torch.float64)
    z, log_det = bijection(x, torch.randn(4, 3, dtype=torch.float64) if amortised else None)
    (z.square().sum() - log_det.sum()).backward()
    assert [name for name, p in bijection.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("univariate", [Additive(), Affine(), RationalQuadratic()], ids=lambda u: type(u).__name__)
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


def test_a_channel_that_never_changes_stays_finite():
    z, log_det = ActNorm(1)(torch.zeros(4, 1, 2, 2))
    assert z.isfinite().all()
    assert log_det.isfinite().all()


@pytest.mark.parametrize("make", [RealNVP, Glow])
def test_the_number_of_scales_follows_the_sides(make):
    # 28 -> 14 -> 7 ends there
    x = torch.rand(2, 1, 28, 28)
    bijection = make(ImageSpec(1, 28, 28), _conv, scales=5).eval()
    z, _ = bijection(x)
    assert z.shape == (2, 784)
    torch.testing.assert_close(bijection.inverse(z), x, atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="7x8 pixels"):
        make(ImageSpec(1, 7, 8), _conv)
    with pytest.raises(UserError, match="scales is 0"):
        make(ImageSpec(1, 8, 8), _conv, scales=0)


@pytest.mark.parametrize("arguments", [{"bins": 1}, {"bound": 0.0}, {"smallest": 0.5}])
def test_bad_splines_are_refused_in_one_line(arguments):
    with pytest.raises(UserError, match=f"transform.{next(iter(arguments))}"):
        RationalQuadratic(**arguments)
