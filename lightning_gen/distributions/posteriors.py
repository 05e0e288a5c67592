"""Amortised posteriors q(z|x): rsample returns z and log q(z|x)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection
from lightning_gen.precision import at_least_float32

__all__ = ["FlowPosterior", "GaussianPosterior", "Posterior", "gaussian_log_prob"]


def gaussian_log_prob(z: Tensor, mean: Tensor | float = 0.0, log_scale: Tensor | float = 0.0) -> Tensor:
    """Compute the log density, (B, D) -> (B,) nats, of a diagonal Gaussian."""
    if not isinstance(log_scale, Tensor):
        log_scale = torch.full((), log_scale, device=z.device, dtype=z.dtype)  # made on the device: no copy to it
    log_scale = log_scale.to(z.dtype)
    squares = ((z - mean) * (-log_scale).exp()).square()
    return (-0.5 * (squares + math.log(2 * math.pi)) - log_scale).flatten(1).sum(1)


class Posterior(nn.Module, ABC):
    """q(z|x) from the encoder's features (B, K)."""

    @abstractmethod
    def rsample(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Draw z (B, Z) with a gradient, log q(z|x) (B,) nats."""

    @abstractmethod
    def mean(self, features: Tensor) -> Tensor:
        """Compute (B, Z), a deterministic code."""


@final
class GaussianPosterior(Posterior):
    """Diagonal Gaussian (Kingma and Welling 2014, Eq. 9)."""

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.head = nn.Linear(features, 2 * latent_dim)

    def gaussian(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and log-scale, both (B, Z)."""
        mean, log_scale = at_least_float32(self.head(features)).chunk(2, 1)
        return mean, log_scale.clamp(-7.0, 3.0)

    def rsample(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = self.gaussian(features)
        noise = torch.randn_like(mean)
        return mean + log_scale.exp() * noise, gaussian_log_prob(noise) - log_scale.sum(1)

    def mean(self, features: Tensor) -> Tensor:
        return self.gaussian(features)[0]


@final
class FlowPosterior(Posterior):
    """A Gaussian pushed through a flow whose parameters depend on the image (Rezende and Mohamed 2015, Eq. 13).

    Args:
        features: K, length of the encoder's features, which are the flow's context.
        latent_dim: Z.
        flow: called with (Z, K).
    """

    def __init__(self, features: int, latent_dim: int, flow: Callable[[int, int], Bijection]) -> None:
        super().__init__()
        self.base, self.flow = GaussianPosterior(features, latent_dim), flow(latent_dim, features)

    def rsample(self, features: Tensor) -> tuple[Tensor, Tensor]:
        z0, log_q0 = self.base.rsample(features)
        z, log_det = self.flow(z0, features)
        return z, log_q0 - log_det

    def mean(self, features: Tensor) -> Tensor:
        return self.flow(self.base.mean(features), features)[0]
