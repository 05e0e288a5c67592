"""Contractions: what their weights may stretch, and their Jacobian."""

import pytest
import torch

from lightning_gen.nets.flow.lipschitz import LipschitzMLP, spectral_bound


@pytest.mark.parametrize("shape", [(64, 64), (2, 64), (64, 2), (1, 1)], ids=str)
def test_the_bound_lies_closely_above_the_largest_singular_value(shape):
    torch.manual_seed(0)
    for weight in (torch.randn(shape), 1e-6 * torch.randn(shape), torch.eye(*shape), 1e6 * torch.randn(shape)):
        true = torch.linalg.matrix_norm(weight, 2)
        assert true * (1 - 1e-5) <= spectral_bound(weight) <= 1.08 * true


def test_weights_of_zero_have_a_finite_gradient():
    weight = torch.zeros(3, 3, requires_grad=True)
    bound = spectral_bound(weight).clamp(min=0.5)
    bound.backward()
    assert bound == 0.5
    assert not weight.grad.any()


@pytest.mark.parametrize("scale", [0.01, 0.5, 10.0])
def test_no_two_points_part(scale):
    torch.manual_seed(0)
    net = LipschitzMLP(3, width=16, layers=3, coefficient=0.9).double()
    for p in net.parameters():
        torch.nn.init.normal_(p, 0.0, scale)
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x).sum(0), torch.randn(200, 3, dtype=torch.float64))
    stretch = torch.linalg.matrix_norm(jacobian.movedim(1, 0), 2).max()
    assert 0 < stretch <= 0.9


@pytest.mark.parametrize("context_dim", [0, 2])
def test_the_linear_map_is_the_jacobian(context_dim):
    torch.manual_seed(0)
    net = LipschitzMLP(3, context_dim, width=8).double()
    x = torch.randn(1, 3, dtype=torch.float64)
    context = torch.randn(1, 2, dtype=torch.float64) if context_dim else None
    value, push = net.linearised(x, context)
    torch.testing.assert_close(value, net(x, context))
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x, context)[0], x)[:, 0]
    torch.testing.assert_close(push(torch.eye(3, dtype=torch.float64)[None])[0].mT, jacobian)


@pytest.mark.parametrize("shape", [(4, 3), (2, 5)], ids=str)
def test_the_bound_has_its_gradient(shape):
    weight = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: spectral_bound(w, 3), (weight,))
