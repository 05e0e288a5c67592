"""What draws of a VAE's posterior tell: the evidence with its error, and which latent variables carry anything."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ACTIVE", "Evidence", "fitted_kl", "importance_sampled", "unit_activity"]

#: variance over images of the posterior's mean above which a latent variable is active (Burda et al. 2016, Section 5.2)
ACTIVE = 0.01


@dataclass(frozen=True)
class Evidence:
    """log p(x) of N images by importance sampling.

    Args:
        log_prob: float64 (N,) nats, the bound iwae-k.
        error: float64 (N,) nats, standard error of each for its k draws.
        effective: float64 (N,), effective number of draws, 1 to k.
    """

    log_prob: Tensor
    error: Tensor
    effective: Tensor


def importance_sampled(log_weights: Tensor) -> Evidence:
    """Estimate log 1/k sum_i w_i (Burda et al. 2016, Eq. 8), its error by the delta method, and (sum w)^2 / sum w^2.

    Args:
        log_weights: log p(x, z_i) / q(z_i|x), nats (k, N).
    """
    logs = log_weights.double()
    k = len(logs)
    weights = (logs - logs.amax(0)).exp()
    mean = weights.mean(0)
    error = weights.std(0) / mean / math.sqrt(k) if k > 1 else torch.full_like(mean, math.nan)
    return Evidence(logs.logsumexp(0) - math.log(k), error, weights.sum(0).square() / weights.square().sum(0))


def unit_activity(codes: Tensor) -> Tensor:
    """Measure activity: (N, Z) means of the posteriors of N images -> (Z,) their variance over the images."""
    return codes.double().var(0)


def fitted_kl(codes: Tensor, prior: Tensor) -> Tensor:
    """Estimate the rate: (S, N, Z) draws of each of N posteriors, (M, Z) draws of the prior -> (Z,) nats: the KL
    divergence of each latent variable by itself, mean over images, between Gaussians fitted to the draws. Exact in the
    limit where both are Gaussian; their sum is not the rate where the posterior's variables depend on one another."""
    mean, variance = codes.double().mean(0), codes.double().var(0)
    centre, spread = prior.double().mean(0), prior.double().var(0)
    ratio = variance / spread
    return 0.5 * (ratio + (mean - centre).square() / spread - 1 - ratio.log()).mean(0)
