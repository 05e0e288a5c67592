"""Langevin steps against a conditional distribution that is known exactly."""

import torch

from lightning_gen.inference.langevin import langevin


def test_the_walk_draws_from_the_conditional_of_a_linear_world():
    """x = A z, the first entry of x known: the posterior of z is Gaussian, its moments are known."""
    a = torch.tensor([[1.0, 0.8], [0.3, -0.5]])
    generator = torch.Generator().manual_seed(0)
    target, known = torch.tensor([[1.0, 9.0]]).expand(2000, -1), torch.tensor([True, False])
    z = langevin(lambda z: z @ a.T, torch.zeros(2000, 2), target, known, 0.2, steps=200, generator=generator)
    row = a[:1]
    covariance = torch.linalg.inv(torch.eye(2) + row.T @ row / 0.04)
    mean = covariance @ row[0] / 0.04
    assert (z.mean(0) - mean).abs().max() < 0.06
    assert (z.T.cov() - covariance).abs().max() < 0.06


def test_proposals_that_are_not_finite_are_not_taken():
    def generate(z):
        return torch.where(z.abs() < 2, z, torch.nan)

    z = langevin(generate, torch.ones(50, 1), torch.ones(50, 1), torch.tensor(True), 0.5, steps=60)
    assert z.isfinite().all()
    assert (z.abs() < 2).all()
