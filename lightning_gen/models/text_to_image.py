"""What the text-to-image models share: pairs of pictures and sentences, right and wrong; pictures of sentences."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.captioned import with_captions
from lightning_gen.contracts import AdversarialTraining, Losses, TextModule
from lightning_gen.contracts.alternation import Phase
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, as_pictures, from_signed, grid, to_signed
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.losses.matching import CaptionContrast, MatchingPenalty, equal_rows, mismatched_rows
from lightning_gen.models.noise_to_image import NoiseToImage
from lightning_gen.nets.condition import Condition
from lightning_gen.nets.gan.augment import Augment, NoAugment
from lightning_gen.nets.gan.text.discriminator import Matcher, TextDiscriminator
from lightning_gen.nets.gan.text.generator import Augmentation, Drawn, TextGenerator, TextSource, resized
from lightning_gen.nets.text.encoder import TextEncoder

__all__ = ["TextToImage"]

#: rows and columns of the grids
_GRID = 8


class TextToImage(NoiseToImage, TextModule):
    """A generator of pictures of sentences, and discriminators that are given the sentence.

    The discriminators minimise, for the picture of each size, with s = `wrong_share` (Reed et al. 2016, Algorithm 1):

        conditional     (1 - s) L(D(x, t), D(G(z, t), t))
        mismatched      s L(D(x, t), D(x, t')), t' another sentence of the batch
        unconditional   L(D(x), D(G(z, t))), where they judge the picture alone
        contrast        `contrast` at real pairs: D(x, t) is higher than D(x, t'') for many other captions t''
        penalty         `penalty` at real pairs

    and the generator its sides of the first and third, ``contrast`` at its own pictures, and ``condition``, the
    divergence of `augmentation`.

    Args:
        spec: of the images; with captions.
        text: called with (spec); each player has its own encoder.
        loss: L.
        training: how the players learn.
        latent_dim: Z, 1 or more; to it comes the noise that samples of `augmentation` take.
        wrong_share: s, 0 or more, below 1; 0: no wrong pairs.
        penalty: of the discriminators (None: none).
        contrast: of both players (None: none).
        augment: of all that the discriminators see (None: nothing).
    """

    generator: TextGenerator
    condition_keys = ("text",)
    generator_weights = {"conditional": 1.0, "unconditional": 1.0, "contrast": 1.0, "condition": 1.0}  # noqa: RUF012

    def __init__(
        self,
        spec: ImageSpec,
        text: TextSource,
        loss: AdversarialLoss,
        training: AdversarialTraining,
        latent_dim: int = 32,
        wrong_share: float = 0.5,
        penalty: MatchingPenalty | None = None,
        contrast: CaptionContrast | None = None,
        augment: Augment | None = None,
    ) -> None:
        check_counts("model", latent_dim=latent_dim)
        if not 0 <= wrong_share < 1:
            raise UserError(f"model.wrong_share is {wrong_share}: want 0 or more, below 1")
        super().__init__(spec, training)
        self.text_source, self.loss, self.latent_dim = text, loss, latent_dim
        self.net_noise = latent_dim
        self.wrong_share, self.penalty, self.contrast = wrong_share, penalty, contrast
        self.augment = augment or NoAugment()

    @property
    @abstractmethod
    def matcher(self) -> Matcher:
        """The discriminators that learn at present, one for each size of image."""

    @property
    @abstractmethod
    def shrinks(self) -> tuple[int, ...]:
        """By how much the images that are learned at present are smaller than the full ones."""

    @property
    def images_of_stage(self) -> int:
        """Training images since the present stage began."""
        return self.images_seen

    @property
    def reading(self) -> bool:
        """Whether the discriminators learn captions alone at present, while the generator waits."""
        return self.contrast is not None and self.images_of_stage < self.contrast.alone

    def step_constants(self) -> Hashable:
        return self.reading

    def _generator_moves(self, phase: Phase) -> int:
        return 0 if self.reading else super()._generator_moves(phase)

    @abstractmethod
    def make_fakes(self, batch: Batch) -> Drawn:
        """Draw signed images in the order of `shrinks` for the sentences of a batch, with the loss of the condition."""

    def prepare(self, batch: Batch) -> Batch:
        return self.condition.prepare(batch)

    def condition_of(self, augmentation: Augmentation | None) -> Condition:
        """Build a condition of the generator: a text encoder, with `augmentation` around it where there is one."""
        found = self.text_source(self.spec) if augmentation is None else augmentation(self.spec, self.text_source)
        if not found.features:
            raise UserError(f"model.augmentation {type(found).__name__} gives no vector: want one that does")
        return found

    def take_generator(self, generator: TextGenerator) -> None:
        """Make this the generator; noise of samples is that of its network and of its conditions."""
        self.generator = generator
        self.latent_dim = self.net_noise + generator.noise

    def discriminator_losses(self, batch: Batch) -> Losses:
        batch = self.prepare(batch)
        return self._reading_losses(batch) if self.reading else self._playing_losses(batch)

    def _reading_losses(self, batch: Batch) -> Losses:
        contrast = self._contrasting(batch, self.matcher.code(batch))
        assert contrast is not None
        found: dict[str, Tensor] = {}
        for net, real in zip(self.matcher.sizes, self._reals(batch), strict=True):
            _add(found, "contrast", contrast(net, net.embed(self.augment(real))))
        return found

    def _playing_losses(self, batch: Batch) -> Losses:
        code, wrong = self.matcher.code(batch), mismatched_rows(batch["words"])
        contrast = self._contrasting(batch, code)
        fakes = [image.detach() for image in self.fakes(batch).images]
        found: dict[str, Tensor] = {}
        for net, real, fake in zip(self.matcher.sizes, self._reals(batch), fakes, strict=True):
            of_real, of_fake = net.embed(self.augment(real)), net.embed(self.augment(fake))
            right, made = net.match(of_real, code), net.match(of_fake, code)
            _add(found, "conditional", (1.0 - self.wrong_share) * self.loss.discriminator(right, made))
            if self.wrong_share:  # the maps of the real pictures serve twice
                mismatched = self.loss.discriminator(right, net.match(of_real, code[wrong]))
                _add(found, "mismatched", self.wrong_share * mismatched)
            if (alone := net.judge(of_real)) is not None and (alone_made := net.judge(of_fake)) is not None:
                _add(found, "unconditional", self.loss.discriminator(alone, alone_made))
            if contrast:
                _add(found, "contrast", contrast(net, of_real))
            if self.penalty:
                _add(found, "penalty", self.penalty(net.logits, real, code))
            self.latest_logits = {"real": right.detach(), "fake": made.detach()}  # of the largest in the end
        return found

    def generator_losses(self, batch: Batch) -> Losses:
        batch = self.prepare(batch)
        drawn, code = self.fakes(batch), self.matcher.code(batch)
        contrast = self._contrasting(batch, code)
        found: dict[str, Tensor | Callable[[], Tensor]] = {}
        for net, real, fake in zip(self.matcher.sizes, self._reals(batch), drawn.images, strict=True):
            maps = net.embed(self.augment(fake))
            _add(
                found, "conditional", self.loss.generator(net.match(maps, code), partial(self._match, net, real, code))
            )
            if contrast:
                _add(found, "contrast", contrast(net, maps))
            if (alone := net.judge(maps)) is not None:
                _add(found, "unconditional", self.loss.generator(alone, partial(self._judge, net, real)))
        if drawn.condition_loss is not None:
            found["condition"] = drawn.condition_loss
        return {**found, **self.losses_of_images(drawn)}

    def _contrasting(self, batch: Batch, code: Tensor) -> Callable[[TextDiscriminator, Tensor], Tensor] | None:
        """Make what computes `contrast` of a discriminator and its maps, None where there is none; other captions are
        encoded once for all sizes."""
        if self.contrast is None:
            return None
        contrast, text = self.contrast, self.matcher.text
        others = text.kept(contrast.captions)
        codes, same = torch.cat([code, text.encode(others)]), equal_rows(batch["words"].to(others.device), others)
        return lambda net, maps: contrast(net.compare(maps, codes), same)

    def _match(self, net: TextDiscriminator, real: Tensor, code: Tensor) -> Tensor:
        return net.match(net.embed(self.augment(real)), code)

    def _judge(self, net: TextDiscriminator, real: Tensor) -> Tensor:
        logits = net.judge(net.embed(self.augment(real)))
        assert logits is not None
        return logits

    def losses_of_images(self, drawn: Drawn) -> Losses:
        """Return losses of the generator that look at its images alone."""
        return {}

    def _reals(self, batch: Batch) -> list[Tensor]:
        image = to_signed(batch["image"], self.spec.levels)
        return [resized(image, shrink) for shrink in self.shrinks]

    def generate(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        return self.generate_from_code(z, self.generator.code(condition))

    def text_code(self, texts: Sequence[str]) -> Tensor:
        return self.generator.code({"text": list(texts)})

    def generate_from_code(self, z: Tensor, code: Tensor) -> Tensor:
        return from_signed(self.generator.draw(z.to(code.device), code)[-1], self.spec.levels)

    def unknown_words(self, text: str) -> list[str]:
        return next(part for part in self.generator.modules() if isinstance(part, TextEncoder)).unknown(text)

    def preview(self, batch: Batch, generator: Generator | None = None) -> Tensor | None:
        """Draw 8 captions of `batch`, one a row, with the same 8 noises, one a column."""
        texts = list(dict.fromkeys(batch["text"]))[:_GRID]
        z = self.noise(_GRID, self.latent_dim, generator=generator).repeat(len(texts), 1)
        code = self.text_code(texts).repeat_interleave(_GRID, 0)
        pictures = as_pictures(self.generate_from_code(z, code), self.spec)
        return with_captions(grid(pictures, 256, columns=_GRID), texts)


def _add(found: dict[str, Any], name: str, loss: Tensor) -> None:
    found[name] = found[name] + loss if name in found else loss
