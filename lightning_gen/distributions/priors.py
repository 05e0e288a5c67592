"""Priors p(z) of a VAE, chosen by class; all but the first are learned with the model."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection
from lightning_gen.bijections.primitives.amortised import Amortised
from lightning_gen.distributions.posteriors import GaussianPosterior, Posterior, gaussian_log_prob
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["FlowPrior", "MixturePrior", "Prior", "Recognition", "StandardNormal", "VampPrior"]


@dataclass(frozen=True)
class Recognition:
    """What a prior may build on. No module: who holds it does not own the weights of the encoder a second time.

    Args:
        spec: of the images.
        latent_dim: Z.
        context_dim: length of the condition's vector; 0 without a condition.
        encoder: signed image -> features.
        posterior: features -> q(z|x).
    """

    spec: ImageSpec
    latent_dim: int
    context_dim: int
    encoder: nn.Module
    posterior: Posterior


class Prior(nn.Module, ABC):
    """p(z), or p(z|y) where the model has a condition.

    Args:
        recognition: the model's other half.
    """

    def __init__(self, recognition: Recognition) -> None:
        super().__init__()

    @abstractmethod
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute log p(z), z (B, Z), context (B, K) or None -> (B,) nats."""

    @abstractmethod
    def draw(self, noise: Tensor, uniform: Tensor, context: Tensor | None = None) -> Tensor:
        """Draw a code, noise (B, Z) standard normal, uniform (B,) in [0, 1), context (B, K) or None -> z (B, Z); a
        function of its arguments alone."""


@final
class StandardNormal(Prior):
    """N(0, I), whatever the condition."""

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return gaussian_log_prob(z)

    def draw(self, noise: Tensor, uniform: Tensor, context: Tensor | None = None) -> Tensor:
        return noise


class _Mixture(Prior):
    """sum_k w_k N(m_k, s_k^2)."""

    @abstractmethod
    def components(self) -> tuple[Tensor, Tensor]:
        """Compute means and log-scales, both (K, Z)."""

    @abstractmethod
    def log_weights(self, rows: Tensor, context: Tensor | None) -> Tensor:
        """Compute log-weights, rows (B, ...), which are counted, context (B, C) or None -> (B, K), normalised."""

    @final
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        mean, log_scale = self.components()
        squares = ((z[:, None] - mean) * (-log_scale).exp()).square()  # (B, K, Z)
        each = (-0.5 * (squares + math.log(2 * math.pi)) - log_scale).sum(2)
        return (self.log_weights(z, context) + each).logsumexp(1)

    @final
    def draw(self, noise: Tensor, uniform: Tensor, context: Tensor | None = None) -> Tensor:
        mean, log_scale = self.components()
        below = self.log_weights(noise, context).exp().cumsum(1) <= uniform[:, None]
        chosen = below.sum(1).clamp(max=len(mean) - 1)
        return mean[chosen] + log_scale[chosen].exp() * noise


def _check_components(components: int) -> None:
    check_counts("prior", components=components)


@final
class MixturePrior(_Mixture):
    """Learned diagonal Gaussians; a condition decides their weights.

    Args:
        recognition: the model's other half.
        components: K, 1 or more.
    """

    def __init__(self, recognition: Recognition, components: int = 50) -> None:
        _check_components(components)
        super().__init__(recognition)
        self.mean = nn.Parameter(torch.randn(components, recognition.latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(components, recognition.latent_dim))
        self.logits = Amortised(recognition.context_dim, components)

    def components(self) -> tuple[Tensor, Tensor]:
        return self.mean, self.log_scale.clamp(-7.0, 3.0)

    def log_weights(self, rows: Tensor, context: Tensor | None) -> Tensor:
        return self.logits(rows, context).log_softmax(1)


@final
class VampPrior(_Mixture):
    """The posteriors of K learned pseudo-images, equally weighted (Tomczak and Welling 2018, Eq. 9).

    Args:
        recognition: the model's other half; its posterior is Gaussian, its model has no condition.
        components: K, 1 or more.

    Raises:
        UserError: the density of the posterior is not known in closed form, or there is a condition.
    """

    def __init__(self, recognition: Recognition, components: int = 50) -> None:
        _check_components(components)
        if recognition.context_dim:
            raise UserError("prior VampPrior wants a model without condition: its pseudo-images have no label")
        if not isinstance(recognition.posterior, GaussianPosterior):
            name = type(recognition.posterior).__name__
            raise UserError(f"posterior is {name}: prior VampPrior wants GaussianPosterior, whose density is known")
        super().__init__(recognition)
        self.encoder, self.posterior = [recognition.encoder], [recognition.posterior]  # lists: the model owns them
        self.image = nn.Parameter(torch.randn(components, *recognition.spec.shape))

    def components(self) -> tuple[Tensor, Tensor]:
        return self.posterior[0].gaussian(self.encoder[0](self.image.tanh()))

    def log_weights(self, rows: Tensor, context: Tensor | None) -> Tensor:
        return rows.new_full((len(rows), len(self.image)), -math.log(len(self.image)))


@final
class FlowPrior(Prior):
    """z -> N(0, I) by a flow: any bijection of vectors, its context the condition (Chen et al. 2017, Section 3).

    Args:
        recognition: the model's other half.
        flow: called with (Z, K).
    """

    def __init__(self, recognition: Recognition, flow: Callable[[int, int], Bijection]) -> None:
        super().__init__(recognition)
        self.flow = flow(recognition.latent_dim, recognition.context_dim)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        noise, log_det = self.flow(z, context)
        return gaussian_log_prob(noise) + log_det

    def draw(self, noise: Tensor, uniform: Tensor, context: Tensor | None = None) -> Tensor:
        return self.flow.inverse(noise, context)
