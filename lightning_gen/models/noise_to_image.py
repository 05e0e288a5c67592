"""What the GANs share that make an image of noise and a condition: draws, captions, augmentation."""

from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialModule, GenerativeModule, ImageData, NoiseModule
from lightning_gen.errors import UserError
from lightning_gen.nets.condition import Condition
from lightning_gen.nets.gan.augment import Augment
from lightning_gen.nets.gan.discriminator import Discriminator
from lightning_gen.nets.text.encoder import learn_captions

__all__ = ["NoiseToImage"]


class NoiseToImage(AdversarialModule, GenerativeModule, NoiseModule):
    """A generator of images of standard normal noise and a condition, and discriminators that see images augmented.

    A subclass sets `generator`, with its condition under that name, `augment` and `latent_dim`.
    """

    #: of all that the discriminators see
    augment: Augment

    @property
    def condition(self) -> Condition:
        """Return what the generator is conditioned on."""
        found = self.generator.condition
        assert isinstance(found, Condition)
        return found

    @property
    def condition_keys(self) -> tuple[str, ...]:
        return self.condition.keys

    def check_same_condition(self, discriminator: Discriminator) -> None:
        """Raise where the discriminator is conditioned on something else than the generator."""
        one, other = (", ".join(keys) or "nothing" for keys in (self.condition.keys, discriminator.keys))
        if one != other:
            raise UserError(f"model.condition tells of {one}, the discriminator's head looks at {other}: want the same")

    def setup(self, stage: str) -> None:
        if stage == "fit":
            data: ImageData = self.trainer.datamodule  # type: ignore[attr-defined]
            learn_captions(self, lambda: data.captions("train"))

    def augmented(self, x: Tensor) -> Tensor:
        return self.augment(x)

    def after_batch(self, batch: Batch) -> None:
        if "real" in self.latest_logits:
            self.augment.observe(self.latest_logits["real"], self.images_seen)

    @property
    def losses(self) -> dict[str, Tensor]:
        return super().losses | self.augment.readings()

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        rows = self.condition.rows(condition, n, generator)
        z = temperature * self.noise(n, self.latent_dim, generator=generator)
        return self.generate(z, rows)

    def draw_condition(self, n: int, generator: Generator | None = None) -> Batch | None:
        return self.condition.rows(None, n, generator)
