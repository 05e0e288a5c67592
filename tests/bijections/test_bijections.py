"""Every bijection: exact inverse, and log|det| against autograd's Jacobian, in float64."""

import pytest
import torch

from lightning_gen.bijections.architectures import PlanarStack, RealNVP, VectorRealNVP
from lightning_gen.bijections.coupling import ChannelCoupling, CheckerboardCoupling, Squeeze
from lightning_gen.bijections.elementwise import Logit
from lightning_gen.images import ImageSpec
from lightning_gen.nets.conditioner import ConvConditioner, MLPConditioner


def _conv(a, b):
    return ConvConditioner(a, b, width=8, blocks=1)


def _mlp(a, k, b):
    return MLPConditioner(a, k, b, width=8)


CASES = {
    "logit": (lambda: Logit(), (1, 2, 2), False),
    "checkerboard": (lambda: CheckerboardCoupling(2, _conv, odd=True), (2, 4, 4), False),
    "channel": (lambda: ChannelCoupling(4, _conv, swap=True), (4, 2, 2), False),
    "squeeze": (lambda: Squeeze(), (1, 4, 4), False),
    "realnvp": (lambda: RealNVP(ImageSpec(1, 4, 4, 17), _conv, scales=1), (1, 4, 4), False),
    "vector": (lambda: VectorRealNVP(5, 3, _mlp), (5,), True),
    "planar": (lambda: PlanarStack(5, 3), (5,), True),
}


def _randomised(make):
    torch.manual_seed(0)
    bijection = make().double()
    for parameter in bijection.parameters():  # zero-initialised heads would make the test trivial
        torch.nn.init.normal_(parameter, 0.0, 0.2)
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


@pytest.mark.parametrize("name", [name for name in CASES if name != "planar"])
def test_inverse_is_exact(name):
    make, shape, amortised = CASES[name]
    bijection = _randomised(make)
    x = torch.rand(5, *shape, dtype=torch.float64)
    context = torch.randn(5, 3, dtype=torch.float64) if amortised else None
    z, _ = bijection(x, context)
    torch.testing.assert_close(bijection.inverse(z, context), x, atol=1e-10, rtol=0)


def test_posterior_flow_depends_on_the_image():
    flow = _randomised(lambda: PlanarStack(5, 3))
    x = torch.rand(1, 5, dtype=torch.float64)
    a, b = (flow(x, torch.randn(1, 3, dtype=torch.float64))[0] for _ in range(2))
    assert not torch.allclose(a, b)
