"""Maps of an element: additive, affine, splines, mixtures of logistics."""

import pytest
import torch
from torch import nn

from lightning_gen.bijections.flowpp import MixtureOfLogistics
from lightning_gen.bijections.neural_spline import RationalQuadratic
from lightning_gen.bijections.primitives.univariate import Additive, Affine
from lightning_gen.errors import UserError


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


@pytest.mark.parametrize("arguments", [{"bins": 1}, {"bound": 0.0}, {"smallest": 0.5}])
def test_bad_splines_are_refused_in_one_line(arguments):
    with pytest.raises(UserError, match=f"transform.{next(iter(arguments))}"):
        RationalQuadratic(**arguments)
