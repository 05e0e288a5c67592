"""Every bijection: exact inverse, and log|det| against autograd's Jacobian, in float64."""

from functools import partial

import pytest
import torch

from lightning_gen.bijections.flowpp import MixtureOfLogistics
from lightning_gen.bijections.glow import Glow
from lightning_gen.bijections.primitives.elementwise import Logit
from lightning_gen.bijections.realnvp import RealNVP
from lightning_gen.bijections.residual import Roulette
from lightning_gen.bijections.tarflow import Patches
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.flow.lipschitz import LipschitzMLP
from lightning_gen.nets.flow.patch_transformer import PatchTransformer
from tests.bijections.cases import AMORTISED, CASES, conv, randomised


@pytest.mark.parametrize("name", CASES)
def test_log_det_against_autograd(name):
    make, shape, amortised = CASES[name]
    bijection = randomised(make)
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
    bijection = randomised(make)
    x = torch.rand(5, *shape, dtype=torch.float64)
    context = torch.randn(5, 3, dtype=torch.float64) if amortised else None
    z, _ = bijection(x, context)
    torch.testing.assert_close(bijection.inverse(z, context), x, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", AMORTISED)
def test_the_map_depends_on_its_context(name):
    make, shape, _ = CASES[name]
    flow, x = randomised(make), torch.rand(1, *shape, dtype=torch.float64)
    (a, log_a), (b, log_b) = (flow(x, torch.randn(1, 3, dtype=torch.float64)) for _ in range(2))
    assert not torch.allclose(a, b)
    if not name.startswith("nice"):  # which keeps volumes
        assert not torch.allclose(log_a, log_b)


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"logit", "squeeze", "factor out", "interleave", "patches"}))
def test_every_parameter_gets_a_gradient(name):
    make, shape, amortised = CASES[name]
    bijection = randomised(make)
    x = torch.rand(4, *shape, dtype=torch.float64)
    z, log_det = bijection(x, torch.randn(4, 3, dtype=torch.float64) if amortised else None)
    (z.square().sum() - log_det.sum()).backward()
    assert [name for name, p in bijection.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", sorted(name for name in CASES if not name.startswith("sylvester")))
def test_under_16_bits_maps_and_log_determinants_keep_32(name):
    """Sylvester flows are for posteriors, whose codes have the precision of the encoder."""
    make, shape, amortised = CASES[name]
    bijection = randomised(make).float()
    x, context = torch.rand(2, *shape), torch.randn(2, 3) if amortised else None
    with torch.autocast("cpu", torch.bfloat16):
        z, log_det = bijection(x, context)
        again = bijection.inverse(z, context)
    assert (z.dtype, log_det.dtype, again.dtype) == (torch.float32,) * 3
    if "spline" not in name and "mixture" not in name:  # the networks are the same both ways, but for rounding
        torch.testing.assert_close(again, x, atol=2e-2, rtol=0)


@pytest.mark.parametrize("make", [RealNVP, Glow])
def test_the_number_of_scales_follows_the_sides(make):
    # 28 -> 14 -> 7 ends there
    x = torch.rand(2, 1, 28, 28)
    bijection = make(ImageSpec(1, 28, 28), 0, conv, scales=5)
    bijection(x)
    z, _ = bijection.eval()(x)
    assert z.shape == (2, 784)
    torch.testing.assert_close(bijection.inverse(z), x, atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="7x8 pixels"):
        make(ImageSpec(1, 7, 8), 0, conv)
    with pytest.raises(UserError, match="scales is 0"):
        make(ImageSpec(1, 8, 8), 0, conv, scales=0)


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
