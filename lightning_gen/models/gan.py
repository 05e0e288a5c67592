"""The generative adversarial network (Goodfellow et al. 2014, Algorithm 1); DCGAN, LSGAN, WGAN, WGAN-GP, SN-GAN,
conditional GANs, AC-GAN and R3GAN by its parts."""

from collections.abc import Callable, Sequence
from typing import final

from torch import Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialTraining, Losses
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.losses.penalties import Regularizer
from lightning_gen.models.noise_to_image import NoiseToImage
from lightning_gen.models.regularized import RegularizedModule
from lightning_gen.nets.condition import Condition, Unconditional
from lightning_gen.nets.gan.augment import Augment, NoAugment
from lightning_gen.nets.gan.discriminator import Discriminator, DiscriminatorOutput
from lightning_gen.nets.gan.generator import ConditionedGenerator, Generated

__all__ = ["GAN"]


@final
class GAN(NoiseToImage, RegularizedModule):
    """A generator and a discriminator that minimise the two sides of `loss`. A conditional one uses the labels of the
    batch for real and generated images alike.

    Args:
        spec: of the images.
        generator: called with (spec, latent_dim, K), gives a net called with z (B, Z) and the context (B, K) or None.
        discriminator: called with (spec).
        loss: adversarial loss of both players.
        training: how the players learn.
        latent_dim: Z, 1 or more.
        condition: what the generator is conditioned on, as a vector of length K, called with (spec).
        regularizers: of the discriminator.
        augment: of all that the discriminator sees (None: nothing).

    Raises:
        UserError: generator and discriminator are conditioned on different things.
    """

    generator: ConditionedGenerator
    discriminator: Discriminator
    generator_weights = {"adversarial": 1.0, "auxiliary": 1.0, "condition": 1.0}  # noqa: RUF012

    def __init__(
        self,
        spec: ImageSpec,
        generator: Callable[[ImageSpec, int, int], nn.Module],
        discriminator: Callable[[ImageSpec], Discriminator],
        loss: AdversarialLoss,
        training: AdversarialTraining,
        latent_dim: int = 64,
        condition: Callable[[ImageSpec], Condition] = Unconditional,
        regularizers: Sequence[Regularizer] = (),
        augment: Augment | None = None,
    ) -> None:
        check_counts("model", latent_dim=latent_dim)
        super().__init__(spec, training)
        self.latent_dim, self.loss, self.regularizers = latent_dim, loss, list(regularizers)
        conditions = condition(spec)
        if conditions.channels:
            raise UserError(f"model.condition {type(conditions).__name__} gives maps: GAN wants a vector")
        self.generator = ConditionedGenerator(conditions, generator(spec, latent_dim, conditions.features))
        self.discriminator = discriminator(spec)
        self.augment = augment or NoAugment()
        self.check_same_condition(self.discriminator)

    def make_fakes(self, batch: Batch) -> Generated:
        return self.generator(self.noise(len(batch["image"]), self.latent_dim), batch)

    def discriminate(self, x: Tensor, batch: Batch | None = None) -> DiscriminatorOutput:
        """Signed images (B, C, H, W), augmented as in training -> outputs of the discriminator."""
        return self.discriminator(self.augment(x), batch)

    def discriminator_losses(self, batch: Batch) -> Losses:
        real, fake = to_signed(batch["image"], self.spec.levels), self.fakes(batch).image.detach()
        of_real, of_fake = self.discriminate(real, batch), self.discriminate(fake, batch)
        self.latest_logits = {"real": of_real.logits.detach(), "fake": of_fake.logits.detach()}
        losses = {"adversarial": self.loss.discriminator(of_real.logits, of_fake.logits)}
        losses |= _named(auxiliary_real=of_real.auxiliary, auxiliary_fake=of_fake.auxiliary)
        return losses | self.penalties(lambda x: self.discriminate(x, batch).logits, real, fake)

    def generator_losses(self, batch: Batch) -> Losses:
        fakes = self.fakes(batch)
        of_fake = self.discriminate(fakes.image, batch)
        losses = {"adversarial": self.loss.generator(of_fake.logits, lambda: self._logits_of_real(batch))}
        return losses | _named(auxiliary=of_fake.auxiliary, condition=fakes.condition_loss)

    def _logits_of_real(self, batch: Batch) -> Tensor:
        return self.discriminate(to_signed(batch["image"], self.spec.levels), batch).logits

    def generate(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        """z (B, Z), and a condition of B rows where the model has one -> uint8 (B, C, H, W); deterministic."""
        return from_signed(self.generator(z, condition).image, self.spec.levels)


def _named(**losses: Tensor | None) -> dict[str, Tensor]:
    """Drop the losses that are None."""
    return {name: loss for name, loss in losses.items() if loss is not None}
