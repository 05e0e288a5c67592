"""Super-resolution with texture: SRGAN (Ledig et al. 2017) and ESRGAN (Wang et al. 2018)."""

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialModule, AdversarialTraining, Losses, SuperResolutionModule
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.losses.perceptual import FeatureLoss
from lightning_gen.nets.gan.discriminator import Discriminator, DiscriminatorOutput
from lightning_gen.nets.super_resolution.upscaler import Upscaler

__all__ = ["ESRGAN", "SRGAN", "AdversarialSuperResolution"]


class AdversarialSuperResolution(AdversarialModule, SuperResolutionModule):
    """A sum of four losses of the enlarged source:

    pixel         distance of the pixels
    perceptual    distance in the features of a network that is given
    features      distance in the features of the discriminator, for which no weights need to be at hand
    adversarial   the game

    From random weights the game does not find natural pictures: give a first phase of ``discriminator_steps: 0`` and
    weights of 0 for all but the pixels, or begin from a run of `SRResNet`.

    Args:
        spec: of the images; with a source.
        generator: called with (spec).
        discriminator: called with the spec of the images alone.
        loss: the game.
        training: how the players learn; phases hold the weights of the losses.
        pixel: called with signed outputs and images (None: mean absolute error).
        perceptual: the loss in features of a network (None: there is none).

    Raises:
        UserError: a phase weights a perceptual loss, and none is given.
    """

    generator: Upscaler
    discriminator: Discriminator

    def __init__(
        self,
        spec: ImageSpec,
        generator: Callable[[ImageSpec], Upscaler],
        discriminator: Callable[[ImageSpec], Discriminator],
        loss: AdversarialLoss,
        training: AdversarialTraining,
        pixel: nn.Module | None = None,
        perceptual: FeatureLoss | None = None,
    ) -> None:
        super().__init__(spec, training)
        given = [training.weights, *(phase.weights for phase in training.phases)]
        if perceptual is None and any(weights.get("perceptual") for weights in given):
            raise UserError("model.training weights the loss perceptual: want model.perceptual, or 0")
        self.generator, self.discriminator, self.loss = generator(spec), discriminator(spec.alone()), loss
        self.pixel, self.perceptual = pixel or nn.L1Loss(), perceptual

    @property
    def radius(self) -> int:
        return self.generator.radius

    def make_fakes(self, batch: Batch) -> Tensor:
        assert self.spec.source is not None
        return self.generator(to_signed(batch["source"], self.spec.source.levels))

    def discriminator_losses(self, batch: Batch) -> Losses:
        of_real = self.discriminator(to_signed(batch["image"], self.spec.levels)).logits
        of_fake = self.discriminator(self.fakes(batch).detach()).logits
        self.latest_logits = {"real": of_real.detach(), "fake": of_fake.detach()}
        return {"adversarial": self.loss.discriminator(of_real, of_fake)}

    def generator_losses(self, batch: Batch) -> Losses:
        real, fake = to_signed(batch["image"], self.spec.levels), self.fakes(batch)
        losses: dict[str, Tensor | Callable[[], Tensor]] = {"pixel": self.pixel(fake, real)}
        if self.perceptual is not None:
            perceptual = self.perceptual
            losses["perceptual"] = lambda: perceptual(fake, real)
        judged: dict[str, DiscriminatorOutput] = {}

        def judge(name: str, image: Tensor) -> DiscriminatorOutput:
            """Run the discriminator once for both losses that look at it."""
            if name not in judged:
                judged[name] = self.discriminator(image)
            return judged[name]

        losses["features"] = lambda: self._matched(judge("fake", fake).features, judge("real", real).features)
        losses["adversarial"] = lambda: self.loss.generator(
            judge("fake", fake).logits, lambda: judge("real", real).logits
        )
        return losses

    def _matched(self, fake: tuple[Tensor, ...], real: tuple[Tensor, ...]) -> Tensor:
        """Compute the mean absolute difference of the discriminator's features, summed over their layers."""
        if not fake:
            name = type(self.discriminator).__name__
            raise UserError(f"model.discriminator {name} gives no features: want weight 0, or CropDiscriminator")
        distances = [(a - b.detach()).abs().mean() for a, b in zip(fake, real, strict=True)]
        return torch.stack(distances).sum()

    def translate(self, batch: Batch, generator: Generator | None = None) -> Tensor:
        return from_signed(self.make_fakes(batch), self.spec.levels)


@final
class SRGAN(AdversarialSuperResolution):
    """10^-3 of the game (Ledig et al. 2017, Eq. 3). In the paper the features of VGG19 take the place of the pixels:
    ``pixel: 0`` and a `FeatureLoss` of norm l2 and scale 1/12.75. Arguments as `AdversarialSuperResolution`."""

    generator_weights = {  # noqa: RUF012
        "pixel": 1.0,
        "perceptual": 1.0,
        "features": 0.0,
        "adversarial": 1e-3,
    }


@final
class ESRGAN(AdversarialSuperResolution):
    """Features before their activation, 5 * 10^-3 of a relativistic average game, 10^-2 of the pixels (Wang et al.
    2018, Eq. 3). Arguments as `AdversarialSuperResolution`."""

    generator_weights = {  # noqa: RUF012
        "pixel": 1e-2,
        "perceptual": 1.0,
        "features": 0.0,
        "adversarial": 5e-3,
    }
