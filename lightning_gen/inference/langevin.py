"""Langevin sampling of a latent vector given part of its image, by gradients alone."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

__all__ = ["langevin"]

#: the share of proposals taken at which the Langevin chain mixes fastest (Roberts and Rosenthal 1998, Theorem 1)
_TAKEN = 0.574


def langevin(
    generate: Callable[[Tensor], Tensor],
    z: Tensor,
    target: Tensor,
    known: Tensor,
    tolerance: float,
    steps: int = 300,
    generator: Generator | None = None,
) -> Tensor:
    """Take Metropolis-adjusted Langevin steps (Roberts and Tweedie 1996) towards p(z | generate(z) = target where
    known), z ~ N(0, I), with an equation that holds up to Gaussian errors of deviation `tolerance`. Approximate: for
    that, and because it ends after `steps`. Each row has a step size of its own, set in the first half, while the
    tolerance falls from 1.

    Args:
        generate: z (B, D) -> (B, ...), differentiable.
        z: start of the chain, (B, D).
        target: (B, ...), in the units of `generate`.
        known: bool, broadcasts to `target`.
        tolerance: above 0.
        steps: of the chain, 1 or more.
        generator: source of all randomness.

    Returns:
        (B, D).
    """
    log_size = torch.full((len(z), 1), -4.0, device=z.device)
    device = generator.device if generator is not None else z.device
    for step in range(steps):
        share = min(1.0, 2 * step / steps)
        energy = _energy(generate, target, known, tolerance**share)
        here, slope = energy(z)
        size = log_size.exp()
        noise = torch.randn(z.shape, generator=generator, device=device).to(z.device)
        proposal = z - size * slope + (2 * size).sqrt() * noise
        there, slope_back = energy(proposal)
        back = (z - proposal + size * slope_back).square().sum(1) / (4 * size[:, 0])
        log_ratio = here - there + noise.square().sum(1) / 2 - back
        chance = torch.where(log_ratio.isfinite(), log_ratio, -torch.inf).clamp(max=0).exp()
        uniform = torch.rand(len(z), generator=generator, device=device).to(z.device)
        z = torch.where((uniform < chance)[:, None], proposal, z)
        if share < 1:
            log_size = log_size + (chance[:, None] - _TAKEN) * 0.5
    return z


def _energy(
    generate: Callable[[Tensor], Tensor], target: Tensor, known: Tensor, tolerance: float
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """z (B, D) -> -log p(z, known) up to a constant, (B,), and its gradient (B, D)."""

    def energy(z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            apart = torch.where(known, (generate(z) - target) / tolerance, 0.0)
            value = (z.square().sum(1) + apart.flatten(1).square().sum(1)) / 2
            (slope,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), slope

    return energy
