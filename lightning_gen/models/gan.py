"""The generative adversarial network (Goodfellow et al. 2014, Algorithm 1); DCGAN by its networks."""

from collections.abc import Callable
from typing import final

from torch import Generator, Tensor, nn

from lightning_gen.base import AdversarialModule, Batch, OptimizerFactory
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.schedules import Schedule

__all__ = ["GAN"]


@final
class GAN(AdversarialModule):
    """G and D play the game that `loss` defines.

    Args:
        spec: of the images.
        generator: called with (spec, latent_dim).
        discriminator: called with (spec).
        loss: the game.
        generator_optimizer: see `AdversarialModule`.
        discriminator_optimizer: see `AdversarialModule`.
        latent_dim: Z.
        schedule: see `ImageModule`.
        critic_steps: see `AdversarialModule`.
        accumulate: see `AdversarialModule`.
        clip: see `AdversarialModule`.
    """

    def __init__(
        self,
        spec: ImageSpec,
        generator: Callable[[ImageSpec, int], nn.Module],
        discriminator: Callable[[ImageSpec], nn.Module],
        loss: AdversarialLoss,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        latent_dim: int = 64,
        schedule: Schedule | None = None,
        critic_steps: int = 1,
        accumulate: int = 1,
        clip: float | None = None,
    ) -> None:
        super().__init__(spec, generator_optimizer, discriminator_optimizer, schedule, critic_steps, accumulate, clip)
        self.latent_dim, self.loss = latent_dim, loss
        self.generator, self.discriminator = generator(spec, latent_dim), discriminator(spec)

    def discriminator_loss(self, batch: Batch) -> Tensor:
        real = to_signed(batch["image"], self.spec.levels)
        fake = self.generator(self.noise(len(real), self.latent_dim))
        return self.loss.discriminator(self.discriminator(real), self.discriminator(fake))

    def generator_loss(self, batch: Batch) -> Tensor:
        fake = self.generator(self.noise(len(batch["image"]), self.latent_dim))
        return self.loss.generator(self.discriminator(fake))

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        z = temperature * self.noise(n, self.latent_dim, generator=generator)
        return from_signed(self.generator(z), self.spec.levels)
