"""Losses of VAEs weigh the two terms of the bound as their papers say."""

import math

import torch

from lightning_gen.losses.evidence import Beta, FreeBits, ImportanceWeighted


def _draws():
    yield from [
        (torch.tensor([-3.0, -1.0]), torch.tensor([[0.5, 2.0], [0.7, 4.0]])),
        (torch.tensor([-2.0, -5.0]), torch.tensor([[1.0, 1.0], [1.0, 1.0]])),
    ]


def test_losses_weigh_the_two_terms_as_their_papers_say():
    log_likelihood, kl = next(_draws())
    whole = -log_likelihood + kl.sum(1)
    assert torch.equal(Beta()(_draws().__next__, 0), whole)
    assert torch.equal(Beta(4.0)(_draws().__next__, 0), -log_likelihood + 4 * kl.sum(1))
    assert torch.equal(Beta(4.0, warmup=7)(_draws().__next__, 3), -log_likelihood + 2 * kl.sum(1))
    assert torch.equal(Beta(4.0, warmup=7)(_draws().__next__, 999), -log_likelihood + 4 * kl.sum(1))
    assert torch.equal(FreeBits(1.0)(_draws().__next__, 0), -log_likelihood + 1.0 + 3.0)  # means 0.6 and 3
    logs = torch.tensor([[-5.5, -5.7], [-4.0, -7.0]])
    torch.testing.assert_close(ImportanceWeighted(2)(_draws().__next__, 0), math.log(2) - logs.logsumexp(0))
