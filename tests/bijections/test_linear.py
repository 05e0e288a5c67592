"""Activation norm, batch norm and invertible convolutions."""

import pytest
import torch

from lightning_gen.bijections.primitives.linear import ActNorm, BatchNorm, NormedConv
from lightning_gen.errors import UserError
from tests.bijections.cases import randomised


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
    both = randomised(lambda: NormedConv(5))
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


def test_a_channel_that_never_changes_stays_finite():
    z, log_det = ActNorm(1)(torch.zeros(4, 1, 2, 2))
    assert z.isfinite().all()
    assert log_det.isfinite().all()


@pytest.mark.parametrize("make", [ActNorm, BatchNorm], ids=lambda m: m.__name__)
@pytest.mark.parametrize("mean", [1e4, -1e5])
def test_a_mean_far_from_zero_does_not_cost_the_deviation(make, mean):
    """E[x^2] - E[x]^2 gave z a deviation of 0.36, 985 or 1080 here."""
    torch.manual_seed(0)
    x = mean + torch.randn(64, 3, 4, 4)
    z, _ = make(3).train()(x)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(3), atol=2e-2, rtol=0)
    assert z.mean().abs() < 0.05


def test_the_moments_of_a_batch_have_a_gradient():
    norm = BatchNorm(2).double().train()
    x = torch.randn(5, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm(x)[0], (x,))
