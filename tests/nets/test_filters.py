"""Filters that never learn: torch's own convolution, its adjoint, and derivatives of second order."""

import pytest
import torch
from torch.nn.functional import conv2d

from lightning_gen.nets.gan.filters import filtered, spread


@pytest.mark.parametrize(("padding", "stride"), [(2, 1), (1, 1), (1, 2)])
def test_a_filter_is_a_convolution_with_one_group_per_channel(padding, stride):
    x, kernel = torch.randn(2, 3, 7, 8, dtype=torch.float64, requires_grad=True), torch.randn(4, 4).double()
    expected = conv2d(x, kernel.expand(3, 1, -1, -1), stride=stride, padding=padding, groups=3)
    got = filtered(x, kernel, padding, stride)
    assert torch.allclose(got, expected)
    y = torch.randn_like(expected)
    # <filtered(x), y> = <x, spread(y)>
    assert torch.allclose((got * y).sum(), (x * spread(y, kernel, padding, stride, (7, 8))).sum())
    second = []
    for out in (got, expected):
        (gradient,) = torch.autograd.grad((out**3).sum(), x, create_graph=True)
        second += torch.autograd.grad(gradient.square().sum(), x)
    assert torch.allclose(*second)
    small = x[:1, :1].detach().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda v: filtered(v, kernel, padding, stride), small)
