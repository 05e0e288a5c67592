"""StackGAN++: pictures of several sizes from one network, learned together (Zhang et al. 2018). With one size, and the
parts of DF-GAN, it is a one-stage model."""

from collections.abc import Callable
from typing import final

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialTraining, Losses
from lightning_gen.images import ImageSpec
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.losses.matching import CaptionContrast, MatchingPenalty, colour_consistency
from lightning_gen.models.text_to_image import TextToImage
from lightning_gen.nets.gan.augment import Augment
from lightning_gen.nets.gan.text.blocks import of_side
from lightning_gen.nets.gan.text.discriminator import JointDiscriminator, Matcher, TextDiscriminator
from lightning_gen.nets.gan.text.generator import Augmentation, Drawn, TextNet, TextSource, TreeGenerator
from lightning_gen.nets.gan.text.tree import TreeNet

__all__ = ["StackGANTree"]


@final
class StackGANTree(TextToImage):
    """One generator with branches for pictures of several sizes, a discriminator for each (Zhang et al. 2018, Eq. 3-8).
    Losses are sums over the sizes. ``colour``, the colour consistency of neighbouring sizes, has weight 0 unless
    `training.weights` says otherwise: the paper uses it, at 50, where there is no text.

    The reference code counts every real picture and every pair once. Here, right pairs count as in `TextToImage`, and
    the discriminators are given the text's code from an encoder of their own, not the generator's mean.

    Args:
        spec: of the images; with captions.
        text: see `TextToImage`, as are `loss`, `training`, `latent_dim`, `wrong_share`, `penalty`,
            `contrast` and `augment`.
        loss: of both players.
        training: how the players learn.
        net: called with (spec, Z, K).
        discriminator: for each size, called with (spec of its pictures, length of the text encoder's vector).
        augmentation: of the sentence's code (None: none), called with (spec, text).
        latent_dim: Z.
        wrong_share: share of wrong pairs.
        penalty: of the discriminators.
        contrast: of both players.
        augment: of what the discriminators see.
    """

    generator: TreeGenerator
    discriminator: Matcher
    generator_weights = {**TextToImage.generator_weights, "colour": 0.0}  # noqa: RUF012

    def __init__(
        self,
        spec: ImageSpec,
        text: TextSource,
        loss: AdversarialLoss,
        training: AdversarialTraining,
        net: Callable[[ImageSpec, int, int], TextNet] = TreeNet,
        discriminator: Callable[[ImageSpec, int], TextDiscriminator] = JointDiscriminator,
        augmentation: Augmentation | None = None,
        latent_dim: int = 32,
        wrong_share: float = 0.5,
        penalty: MatchingPenalty | None = None,
        contrast: CaptionContrast | None = None,
        augment: Augment | None = None,
    ) -> None:
        super().__init__(spec, text, loss, training, latent_dim, wrong_share, penalty, contrast, augment)
        condition = self.condition_of(augmentation)
        self.take_generator(TreeGenerator(condition, net(spec, latent_dim, condition.features)))
        encoder = text(spec)
        sizes = [of_side(spec, shrink) for shrink in self.shrinks]
        self.discriminator = Matcher(encoder, [discriminator(size, encoder.features) for size in sizes])

    @property
    def matcher(self) -> Matcher:
        return self.discriminator

    @property
    def shrinks(self) -> tuple[int, ...]:
        return self.generator.shrinks

    def make_fakes(self, batch: Batch) -> Drawn:
        batch = self.prepare(batch)
        return self.generator(self.noise(len(batch["image"]), self.net_noise), batch)

    def losses_of_images(self, drawn: Drawn) -> Losses:
        return {"colour": lambda: colour_consistency(drawn.images)} if len(drawn.images) > 1 else {}
