"""StackGAN: a small sketch from a sentence, then the picture from the sketch and the sentence (Zhang et al. 2017)."""

from collections.abc import Callable, Hashable
from typing import final

from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialTraining
from lightning_gen.errors import IMAGE_LIMIT, UserError, check_counts
from lightning_gen.images import ImageSpec, from_signed
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.losses.matching import CaptionContrast, MatchingPenalty
from lightning_gen.models.text_to_image import TextToImage
from lightning_gen.nets.gan.augment import Augment
from lightning_gen.nets.gan.text.blocks import of_side
from lightning_gen.nets.gan.text.discriminator import Matcher, MatchingDiscriminator, TextDiscriminator
from lightning_gen.nets.gan.text.generator import Augmentation, Drawn, StackedGenerator, TextSource
from lightning_gen.nets.gan.text.stages import StageOne, StageTwo

__all__ = ["StackGAN"]


@final
class StackGAN(TextToImage):
    """Two GANs, one after the other (Zhang et al. 2017, Eq. 3-6). In the first `first_images` training images Stage I
    learns to draw pictures smaller by `shrink`. Then Stage II learns to make the whole picture of its sketch and the
    sentence, each with an augmentation and a discriminator of its own; Stage I stays as it is, in eval mode. Until
    then samples are sketches, enlarged. A run that is resumed goes on in its stage.

    Args:
        spec: of the images; with captions.
        text: see `TextToImage`, as are `loss`, `training`, `latent_dim`, `wrong_share`, `penalty`,
            `contrast` and `augment`.
        loss: of both players.
        training: how the players learn.
        first_images: training images of Stage I, 1 or more.
        shrink: by how much sketches are smaller, a power of two (4 in the paper).
        augmentation: of the sentence's code (None: none), called with (spec, text).
        first: called with (spec of sketches, Z, K).
        second: called with (spec, K, shrink).
        discriminator: of either stage, called with (spec of its pictures, length of the text encoder's vector).
        latent_dim: Z.
        wrong_share: share of wrong pairs.
        penalty: of the discriminators.
        contrast: of both players.
        augment: of what the discriminators see.

    Raises:
        UserError: the images cannot be made so much smaller.
    """

    generator: StackedGenerator
    discriminator: nn.ModuleDict

    def __init__(
        self,
        spec: ImageSpec,
        text: TextSource,
        loss: AdversarialLoss,
        training: AdversarialTraining,
        first_images: int,
        shrink: int = 2,
        augmentation: Augmentation | None = None,
        first: Callable[[ImageSpec, int, int], nn.Module] = StageOne,
        second: Callable[[ImageSpec, int, int], nn.Module] = StageTwo,
        discriminator: Callable[[ImageSpec, int], TextDiscriminator] = MatchingDiscriminator,
        latent_dim: int = 32,
        wrong_share: float = 0.5,
        penalty: MatchingPenalty | None = None,
        contrast: CaptionContrast | None = None,
        augment: Augment | None = None,
    ) -> None:
        super().__init__(spec, text, loss, training, latent_dim, wrong_share, penalty, contrast, augment)
        check_counts("model", limit=IMAGE_LIMIT, first_images=first_images)
        if shrink < 2 or spec.height % shrink or spec.width % shrink or min(spec.height, spec.width) < 4 * shrink:
            raise UserError(f"model.shrink is {shrink}: want 2 or more that leaves 4 pixels or more of {spec}")
        self.first_images, small = first_images, of_side(spec, shrink)
        conditions = self.condition_of(augmentation), self.condition_of(augmentation)
        features = conditions[0].features
        first_net, second_net = first(small, latent_dim, features), second(spec, features, shrink)
        self.take_generator(StackedGenerator(conditions, first_net, second_net, shrink))
        matchers = {}
        for name, of in (("first", small), ("second", spec)):
            encoder = text(spec)
            matchers[name] = Matcher(encoder, [discriminator(of, encoder.features)])
        self.discriminator = nn.ModuleDict(matchers)

    @property
    def in_second(self) -> bool:
        """Whether Stage II learns at present."""
        return self.images_seen >= self.first_images

    @property
    def images_of_stage(self) -> int:
        return self.images_seen - self.first_images if self.in_second else self.images_seen

    @property
    def matcher(self) -> Matcher:
        found = self.discriminator["second" if self.in_second else "first"]
        assert isinstance(found, Matcher)
        return found

    @property
    def shrinks(self) -> tuple[int, ...]:
        return (self.generator.shrinks[self.in_second],)

    def make_fakes(self, batch: Batch) -> Drawn:
        batch = self.prepare(batch)
        z = self.noise(len(batch["image"]), self.net_noise)
        return self.generator.finish(z, batch) if self.in_second else self.generator.sketch(z, batch)

    def step_constants(self) -> Hashable:
        return self.in_second, self.reading

    def generate_from_code(self, z: Tensor, code: Tensor) -> Tensor:
        small, large = self.generator.draw(z.to(code.device), code)
        if self.images_seen <= self.first_images:  # Stage II has not learned anything yet
            large = interpolate(small, scale_factor=float(self.generator.shrinks[0]))
        return from_signed(large, self.spec.levels)
