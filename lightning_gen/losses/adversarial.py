"""Adversarial losses on logits of any shape, a single one per image or a map: scalars to minimise."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from torch import Tensor
from torch.nn.functional import relu, softplus

from lightning_gen.errors import UserError

__all__ = [
    "AdversarialLoss",
    "Hinge",
    "LeastSquares",
    "NonSaturating",
    "OneSidedSmoothing",
    "Relativistic",
    "RelativisticAverage",
    "Saturating",
    "Wasserstein",
]


class AdversarialLoss(ABC):
    """What each player minimises."""

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Logits of real and of generated images -> scalar for the discriminator."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        """Logits of generated images -> scalar for the generator. `real` computes the logits of as many real images:
        a loss that does not use them does not compute them."""


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()  # -log D(x) - log(1 - D(G(z)))


@final
class Saturating(AdversarialLoss):
    """Goodfellow et al. 2014, Eq. 1, as it stands: the generator minimises log(1 - D(G(z))), whose gradient vanishes
    where the discriminator is confident."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return _cross_entropy(real, fake)

    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        return -softplus(fake).mean()  # log(1 - D(G(z)))


@final
class NonSaturating(AdversarialLoss):
    """Goodfellow et al. 2014, Eq. 1, with the generator's heuristic of Section 3: maximise log D(G(z))."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return _cross_entropy(real, fake)

    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        return softplus(-fake).mean()  # -log D(G(z))


@final
class OneSidedSmoothing(AdversarialLoss):
    """`NonSaturating`, with a target below 1 for real images, so that the discriminator stays less certain (Salimans et
    al. 2016, Section 3.4).

    Args:
        target: of real images, above 0.5, at most 1.

    Raises:
        UserError: the target is out of range.
    """

    def __init__(self, target: float = 0.9) -> None:
        if not 0.5 < target <= 1:
            raise UserError(f"loss.target is {target}: want above 0.5, at most 1")
        self.target = target

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        of_real = self.target * softplus(-real) + (1.0 - self.target) * softplus(real)
        return of_real.mean() + softplus(fake).mean()

    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        return softplus(-fake).mean()  # -log D(G(z))


@final
class LeastSquares(AdversarialLoss):
    """Mao et al. 2017, Eq. 9: targets 1 for real, 0 for generated images, 1 for the generator."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - 1.0).square().mean() + 0.5 * fake.square().mean()

    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        return 0.5 * (fake - 1.0).square().mean()


@final
class Wasserstein(AdversarialLoss):
    """Arjovsky et al. 2017, Eq. 2: minus the discriminator's loss estimates the earth mover's distance, times the
    Lipschitz constant that a regularizer holds the critic to."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        return -fake.mean()


@final
class Hinge(AdversarialLoss):
    """Lim and Ye 2017; Miyato et al. 2018, Eq. 16-17: images beyond the margin give the discriminator no gradient."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1.0 - real).mean() + relu(1.0 + fake).mean()

    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        return -fake.mean()


@final
class Relativistic(AdversarialLoss):
    """Relativistic pairing (Jolicoeur-Martineau 2019; Huang et al. 2024, Eq. 2): each generated image is compared with
    a real one, f(D(G(z)) - D(x)) with f(t) = -log(1 + exp(-t))."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        return softplus(real() - fake).mean()


@final
class RelativisticAverage(AdversarialLoss):
    """Each image is compared with the mean of the other kind (Jolicoeur-Martineau 2019; ESRGAN, Wang et al. 2018, Eq.
    1-2): half the cross-entropy of D(x) - E D(G(z)) as real and of D(G(z)) - E D(x) as generated. The mean carries no
    gradient, as in the reference code of ESRGAN."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * _cross_entropy(real - fake.detach().mean(), fake - real.detach().mean())

    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        of_real = real().detach()
        return 0.5 * _cross_entropy(fake - of_real.mean(), of_real - fake.mean())
