"""What a model with latent variables minimises, from draws of log p(x|z) and of log q(z|x) - log p(z)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import final

import torch
from torch import Tensor

from lightning_gen.errors import UserError, check_counts

__all__ = ["Beta", "EvidenceLoss", "FreeBits", "ImportanceWeighted"]


class EvidenceLoss(ABC):
    """A loss, called with a function that draws, each time anew, log p(x|z) (B,) and log q(z|x) - log p(z) (B, G), both
    nats, a
    column per group of latent variables; and with the number of training images seen."""

    @abstractmethod
    def __call__(self, draw: Callable[[], tuple[Tensor, Tensor]], images_seen: int) -> Tensor:
        """-> (B,) nats to minimise."""

    def settle(self, images_seen: int, device: torch.device) -> None:  # noqa: B027
        """Put the numbers of the next step that change in training into tensors on the device."""

    def constants(self, images_seen: int) -> Hashable:
        """Numbers of Python that the loss takes in and that change in training."""
        return ()


def _check_warmup(warmup: int) -> None:
    if warmup < 0:
        raise UserError(f"loss.warmup is {warmup}: want 0 or more images")


def _ramp(images_seen: int, warmup: int) -> float:
    """From near 0 to 1 over the first `warmup` images."""
    return min(1.0, (images_seen + 1) / (warmup + 1))


@final
class Beta(EvidenceLoss):
    """-log p(x|z) + beta KL (Higgins et al. 2017, Eq. 4); beta 1 is the negative ELBO.

    Args:
        beta: weight of the KL divergence, 0 or more. Above 1 the rate is lower and the distortion higher.
        warmup: images over which the weight rises linearly from 0 (Sonderby et al. 2016, Section 2.4).
    """

    def __init__(self, beta: float = 1.0, warmup: int = 0) -> None:
        if beta < 0:
            raise UserError(f"loss.beta is {beta}: want 0 or more")
        _check_warmup(warmup)
        self.beta, self.warmup = beta, warmup
        self._weight: Tensor | None = None  # of the KL divergence, on the device, where it rises

    def settle(self, images_seen: int, device: torch.device) -> None:
        if self.warmup:
            if self._weight is None or self._weight.device != device:
                self._weight = torch.zeros((), device=device)
            self._weight.fill_(self.beta * _ramp(images_seen, self.warmup))

    def __call__(self, draw: Callable[[], tuple[Tensor, Tensor]], images_seen: int) -> Tensor:
        log_likelihood, kl = draw()
        weight = self.beta * _ramp(images_seen, self.warmup) if self._weight is None else self._weight
        return weight * kl.sum(1) - log_likelihood


@final
class FreeBits(EvidenceLoss):
    """-log p(x|z) + sum_g max(nats, KL_g), KL_g the mean of the batch (Kingma et al. 2016, Eq. 15): a group of latent
    variables with a lower KL gets no gradient from it, so it does not collapse early.

    Args:
        nats: free of each group, 0 or more. A plain VAE has one group, a hierarchical one a group per layer.
    """

    def __init__(self, nats: float = 1.0) -> None:
        if nats < 0:
            raise UserError(f"loss.nats is {nats}: want 0 or more")
        self.nats = nats

    def __call__(self, draw: Callable[[], tuple[Tensor, Tensor]], images_seen: int) -> Tensor:
        log_likelihood, kl = draw()
        return kl.mean(0).clamp(min=self.nats).sum() - log_likelihood


@final
class ImportanceWeighted(EvidenceLoss):
    """-log 1/k sum_i p(x, z_i) / q(z_i|x) (Burda et al. 2016, Eq. 8).

    Args:
        k: draws per image, 1 or more; k times the work.
    """

    def __init__(self, k: int = 8) -> None:
        check_counts("loss", k=k)
        self.k = k

    def __call__(self, draw: Callable[[], tuple[Tensor, Tensor]], images_seen: int) -> Tensor:
        draws = (draw() for _ in range(self.k))
        log_weights = torch.stack([log_likelihood - kl.sum(1) for log_likelihood, kl in draws])
        return math.log(self.k) - log_weights.logsumexp(0)
