"""Pix2Pix: a picture from its label map, outline or any other picture of the same scene (Isola et al. 2017)."""

from collections.abc import Callable
from typing import final

from torch import Generator, Tensor, nn
from torch.nn.functional import l1_loss

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialModule, AdversarialTraining, Losses, TranslationModule
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.nets.gan.unet import PairDiscriminator
from lightning_gen.nets.layers.noise import LastingDropout, drawn_from

__all__ = ["Pix2Pix"]


@final
class Pix2Pix(AdversarialModule, TranslationModule):
    """G* = arg min_G max_D L_cGAN(G, D) + 100 L_1(G) (Isola et al. 2017, Eq. 4). D is given the source, and its loss is
    halved. It moves first, and the generator learns by the new one from the same outputs (`training.share_fakes`).
    In use a `UNet` is deterministic, its dropout is noise in training alone; a `NoisyUNet` keeps it.

    Args:
        spec: of the images; with a source.
        generator: called with (spec), gives a net called with signed sources (B, C', H, W).
        discriminator: called with (spec).
        loss: of both players.
        training: how the players learn.
    """

    generator: nn.Module
    discriminator: PairDiscriminator
    generator_weights = {"adversarial": 1.0, "l1": 100.0}  # noqa: RUF012
    discriminator_weights = {"adversarial": 0.5}  # noqa: RUF012

    def __init__(
        self,
        spec: ImageSpec,
        generator: Callable[[ImageSpec], nn.Module],
        discriminator: Callable[[ImageSpec], PairDiscriminator],
        loss: AdversarialLoss,
        training: AdversarialTraining,
    ) -> None:
        super().__init__(spec, training)
        self.generator, self.discriminator, self.loss = generator(spec), discriminator(spec), loss

    def _source(self, batch: Batch) -> Tensor:
        assert self.spec.source is not None
        return to_signed(batch["source"], self.spec.source.levels)

    def make_fakes(self, batch: Batch) -> Tensor:
        return self.generator(self._source(batch))

    def discriminator_losses(self, batch: Batch) -> Losses:
        source, real = self._source(batch), to_signed(batch["image"], self.spec.levels)
        of_real = self.discriminator(real, source).logits  # (B, 1, h, w)
        of_fake = self.discriminator(self.fakes(batch).detach(), source).logits
        self.latest_logits = {"real": of_real.detach(), "fake": of_fake.detach()}
        return {"adversarial": self.loss.discriminator(of_real, of_fake)}

    def generator_losses(self, batch: Batch) -> Losses:
        source, real = self._source(batch), to_signed(batch["image"], self.spec.levels)
        fake = self.fakes(batch)
        adversarial = self.loss.generator(
            self.discriminator(fake, source).logits, lambda: self.discriminator(real, source).logits
        )
        return {"adversarial": adversarial, "l1": l1_loss(fake, real)}

    def translate(self, batch: Batch, generator: Generator | None = None) -> Tensor:
        with drawn_from(generator if self.stochastic else None, self.device):
            return from_signed(self.make_fakes(batch), self.spec.levels)

    @property
    def stochastic(self) -> bool:
        return any(isinstance(layer, LastingDropout) for layer in self.generator.modules())
