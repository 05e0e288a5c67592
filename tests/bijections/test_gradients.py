"""Gradients through inverses, those found by iteration too: inverse(forward(x)) is x whatever the parameters."""

import math

import pytest
import torch

from lightning_gen.bijections.flowpp import MixtureOfLogistics
from tests.bijections.cases import CASES, randomised

#: whose inverse is a root found by iteration
ITERATED = [name for name in CASES if name.startswith(("planar", "sylvester", "residual"))] + ["channel, mixture"]


def _case(name):
    make, shape, amortised = CASES[name]
    bijection = randomised(make)
    if math.prod(shape) <= 16:  # a whole flow of images with strong layers is too badly conditioned to compare
        for p in bijection.parameters():
            torch.nn.init.normal_(p, 0.0, 0.3)
    x = torch.rand(4, *shape, dtype=torch.float64).requires_grad_()
    context = torch.randn(4, 3, dtype=torch.float64).requires_grad_() if amortised else None
    return bijection, x, context


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_an_inverse_undoes_that_of_the_map(name):
    """J(inverse) J(forward) = 1; and what parameters and context do to the map, they undo in the inverse."""
    bijection, x, context = _case(name)
    weight = torch.randn_like(x)
    again = bijection.inverse(bijection(x, context)[0], context)
    wanted = [x, *([] if context is None else [context]), *bijection.parameters()]
    to_x, *others = torch.autograd.grad((again * weight).sum(), wanted, allow_unused=True)
    torch.testing.assert_close(to_x, weight, atol=1e-8, rtol=1e-8)
    for other in others:
        if other is not None:
            torch.testing.assert_close(other, torch.zeros_like(other), atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_an_inverse_has_a_gradient_of_its_own(name):
    """Of z alone, where the map has no part: against finite differences along one direction."""
    bijection, x, context = _case(name)
    with torch.no_grad():
        z = bijection(x, context)[0]
    direction, weight, step = torch.randn_like(z), torch.randn_like(x), 1e-6
    z.requires_grad_()
    (to_z,) = torch.autograd.grad((bijection.inverse(z, context) * weight).sum(), z)
    with torch.no_grad():
        ends = [bijection.inverse(z + s * direction, context) for s in (step, -step)]
        expected = ((ends[0] - ends[1]) * weight).sum() / (2 * step)
    torch.testing.assert_close((to_z * direction).sum(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ITERATED)
def test_second_derivatives_of_iterated_inverses_are_right(name):
    """The gradient of x = inverse(forward(x)) is the same everywhere, so its own gradient is 0."""
    bijection, x, context = _case(name)
    again = bijection.inverse(bijection(x, context)[0], context)
    weight = torch.randn_like(x)
    (to_x,) = torch.autograd.grad((again * weight).sum(), x, create_graph=True)
    wanted = [x, *bijection.parameters()]
    for second in torch.autograd.grad((to_x * torch.randn_like(x)).sum(), wanted, allow_unused=True):
        if second is not None:
            torch.testing.assert_close(second, torch.zeros_like(second), atol=1e-6, rtol=0)


def test_an_inverse_without_gradients_is_the_same():
    univariate = MixtureOfLogistics(3)
    y, raw = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 22, dtype=torch.float64)
    with torch.no_grad():
        plain = univariate.inverse(y, raw)
    torch.testing.assert_close(univariate.inverse(y, raw.requires_grad_()), plain, atol=1e-12, rtol=0)
