"""Adversarial losses on logits: scalars to minimise."""

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["AdversarialLoss", "NonSaturating"]


class AdversarialLoss(ABC):
    """The game: what each player minimises, from the discriminator's logits (B,)."""

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar for the discriminator."""

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """Scalar for the generator."""


class NonSaturating(AdversarialLoss):
    """Goodfellow et al. 2014, Eq. 1, with the generator's heuristic of Section 3: maximise log D(G(z))."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()  # -log D(x) - log(1 - D(G(z)))

    def generator(self, fake: Tensor) -> Tensor:
        return softplus(-fake).mean()  # -log D(G(z))
