"""Residual flows, and the directions of Sylvester flows."""

import pytest
import torch

from lightning_gen.bijections.residual import Exact, Residual, Roulette
from lightning_gen.bijections.sylvester import Householder, Orthogonal, Triangular
from lightning_gen.nets.flow.lipschitz import LipschitzMLP


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


@pytest.mark.parametrize("basis", [lambda: Orthogonal(5, 3, 4), lambda: Householder(5, 3), lambda: Triangular(5, 3)])
def test_the_directions_of_sylvester_flows_are_orthonormal(basis):
    torch.manual_seed(0)
    q = basis().double()(torch.rand(4, 5, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64))
    torch.testing.assert_close(q.mT @ q, torch.eye(q.shape[2], dtype=torch.float64).expand(4, -1, -1))
