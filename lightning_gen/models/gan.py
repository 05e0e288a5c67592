"""The generative adversarial network (Goodfellow et al. 2014, Algorithm 1); DCGAN, LSGAN, WGAN, WGAN-GP, SN-GAN,
conditional GANs, AC-GAN and R3GAN by its parts."""

from collections.abc import Callable, Sequence
from typing import final

from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialModule, NoiseModule, OptimizerFactory
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.losses.penalties import Regularizer, StepCount
from lightning_gen.nets.condition import Condition, Unconditional
from lightning_gen.nets.gan.augment import Augment, NoAugment
from lightning_gen.nets.gan.discriminator import Discriminator, DiscriminatorOutput
from lightning_gen.nets.gan.generator import ConditionedGenerator
from lightning_gen.schedules import Ramp, Schedule

__all__ = ["GAN"]


@final
class GAN(AdversarialModule, NoiseModule):
    """G and D play the game that `loss` defines; a conditional one with the labels of the batch for real and generated
    images alike.

    Args:
        spec: of the images.
        generator: called with (spec, latent_dim, K), gives a net called with z (B, Z) and the context (B, K) or None.
        discriminator: called with (spec).
        loss: the game.
        generator_optimizer: see `AdversarialModule`.
        discriminator_optimizer: see `AdversarialModule`.
        latent_dim: Z, 1 or more.
        condition: what the generator is told, as a context of length K, called with (spec).
        regularizers: of the discriminator.
        augment: of all that the discriminator sees (None: nothing).
        schedule: see `ImageModule`.
        critic_steps: see `AdversarialModule`.
        accumulate: see `AdversarialModule`.
        clip: see `AdversarialModule`.
        reuse_fakes: see `AdversarialModule`.
        beta2: see `AdversarialModule`.

    Raises:
        UserError: generator and discriminator are conditioned on different things.
    """

    generator: ConditionedGenerator
    discriminator: Discriminator

    def __init__(
        self,
        spec: ImageSpec,
        generator: Callable[[ImageSpec, int, int], nn.Module],
        discriminator: Callable[[ImageSpec], Discriminator],
        loss: AdversarialLoss,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        latent_dim: int = 64,
        condition: Callable[[ImageSpec], Condition] = Unconditional,
        regularizers: Sequence[Regularizer] = (),
        augment: Augment | None = None,
        schedule: Schedule | None = None,
        critic_steps: int = 1,
        accumulate: int = 1,
        clip: float | None = None,
        reuse_fakes: bool = False,
        beta2: Ramp | None = None,
    ) -> None:
        check_counts("model", latent_dim=latent_dim)
        optimizers = generator_optimizer, discriminator_optimizer
        super().__init__(spec, *optimizers, schedule, critic_steps, accumulate, clip, reuse_fakes, beta2)
        self.latent_dim, self.loss, self.regularizers = latent_dim, loss, list(regularizers)
        told = condition(spec)
        self.generator = ConditionedGenerator(told, generator(spec, latent_dim, told.features))
        self.discriminator = discriminator(spec)
        self.augment = augment or NoAugment()
        if told.keys != self.discriminator.keys:
            one, other = (", ".join(keys) or "nothing" for keys in (told.keys, self.discriminator.keys))
            raise UserError(f"model.condition tells of {one}, the discriminator's head looks at {other}: want the same")

    @property
    def condition_keys(self) -> tuple[str, ...]:
        return self.generator.condition.keys

    def make_fakes(self, batch: Batch) -> Tensor:
        return self.generator(self.noise(len(batch["image"]), self.latent_dim), batch)

    def discriminate(self, x: Tensor, batch: Batch | None = None) -> DiscriminatorOutput:
        """What the discriminator says of signed images (B, C, H, W), augmented as in training."""
        return self.discriminator(self.augment(x), batch)

    def discriminator_loss(self, batch: Batch) -> Tensor:
        real, fake = to_signed(batch["image"], self.spec.levels), self.fakes(batch).detach()
        of_real, of_fake = self.discriminate(real, batch), self.discriminate(fake, batch)
        self.augment.observe(of_real.logits, self.images_seen)
        self.latest_losses |= {"real": of_real.logits.detach(), "fake": of_fake.logits.detach()}
        loss = of_fake.charge(of_real.charge(self.loss.discriminator(of_real.logits, of_fake.logits)))
        count = StepCount(self.discriminator_steps, self.images_seen)
        fake = fake.to(real.dtype)  # mixed precision paints in 16 bits; the norms of gradients want the dtype of `real`
        for regularizer in self.regularizers:
            loss = loss + regularizer.penalty(lambda x: self.discriminate(x, batch).logits, real, fake, count)
        return loss

    def generator_loss(self, batch: Batch) -> Tensor:
        of_fake = self.discriminate(self.fakes(batch), batch)
        return of_fake.charge(self.loss.generator(of_fake.logits, lambda: self._logits_of_real(batch)))

    def _logits_of_real(self, batch: Batch) -> Tensor:
        return self.discriminate(to_signed(batch["image"], self.spec.levels), batch).logits

    def constrain(self) -> None:
        for regularizer in self.regularizers:
            regularizer.project(self.discriminator)

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        rows = self.generator.condition.rows(condition, n, generator)
        z = temperature * self.noise(n, self.latent_dim, generator=generator)
        return self.generate(z, rows)

    def generate(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        """z (B, Z), and a condition of B rows where the model has one -> uint8 (B, C, H, W); deterministic."""
        return from_signed(self.generator(z, condition), self.spec.levels)

    def draw_condition(self, n: int, generator: Generator | None = None) -> Batch | None:
        return self.generator.condition.rows(None, n, generator)
