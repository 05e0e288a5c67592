"""CUT and FastCUT: unpaired translation in one direction by contrasts of patches (Park et al. 2020)."""

from abc import abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialModule, AdversarialTraining, Losses, TranslationModule
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.losses.contrastive import patch_nce
from lightning_gen.nets.gan.discriminator import Discriminator
from lightning_gen.nets.gan.projection import PatchProjection
from lightning_gen.nets.gan.translator import FeatureTranslator

__all__ = ["CUT", "ContrastiveTranslation", "FastCUT"]

Features = tuple[Tensor, ...]


class ContrastiveTranslation(AdversarialModule, TranslationModule):
    """L_GAN(G, D) + lambda L_PatchNCE(G, H) (Park et al. 2020, Eq. 5). A place of the output is told by the features of
    the generator's own encoder, and shall be nearest to the same place of the source (Eq. 3 and 4). H has a small
    network for each of its features, and belongs to the generator.

    The discriminator moves first, and the generator learns by the new one from the same outputs
    (`training.share_fakes`). The game is weighted by 2, because `LeastSquares` halves the squares of the paper's.

    Args:
        spec: of the images; with a source of the same channels.
        generator: called with (spec), gives a network from signed sources to signed images.
        discriminator: called with the spec of the images alone.
        loss: the game; `LeastSquares` in the paper.
        training: how the players learn.
        patches: places that are compared at each feature, 2 or more.
        width: of the vectors that are compared.
        temperature: see `patch_nce`, above 0.

    Raises:
        UserError: sources and images have other channels.
    """

    generator: nn.ModuleDict
    discriminator: Discriminator

    def __init__(
        self,
        spec: ImageSpec,
        generator: Callable[[ImageSpec], FeatureTranslator],
        discriminator: Callable[[ImageSpec], Discriminator],
        loss: AdversarialLoss,
        training: AdversarialTraining,
        patches: int = 256,
        width: int = 256,
        temperature: float = 0.07,
    ) -> None:
        super().__init__(spec, training)
        check_counts("model", patches=patches, width=width)
        if temperature <= 0:
            raise UserError(f"model.temperature is {temperature}: want above 0")
        if spec.reversed().channels != spec.channels:
            got = f"data has sources of {spec.reversed().channels} channels and images of {spec.channels}"
            raise UserError(f"{got}: {type(self).__name__} encodes both alike, want equal channels")
        translator = generator(spec)
        head = PatchProjection(translator.feature_channels, width)
        self.generator = nn.ModuleDict({"translator": translator, "head": head})
        self.discriminator, self.loss = discriminator(spec.alone()), loss
        self.patches, self.temperature = patches, temperature

    @property
    def translator(self) -> FeatureTranslator:
        """The part of the generator that makes images."""
        found = self.generator["translator"]
        assert isinstance(found, FeatureTranslator)
        return found

    @abstractmethod
    def make_fakes(self, batch: Batch) -> tuple[Tensor, Features, Features]:
        """Return outputs of the sources, (B, C, H, W); and features, (N, K, h, w) each, of what the generator made and
        of what it made it from, place by place. A subclass may contrast more than the outputs."""

    def _source(self, batch: Batch) -> Tensor:
        assert self.spec.source is not None
        return to_signed(batch["source"], self.spec.source.levels)

    def _image(self, batch: Batch) -> Tensor:
        return to_signed(batch["image"], self.spec.levels)

    def discriminator_losses(self, batch: Batch) -> Losses:
        of_real = self.discriminator(self._image(batch)).logits
        of_fake = self.discriminator(self.fakes(batch)[0].detach()).logits
        self.latest_logits = {"real": of_real.detach(), "fake": of_fake.detach()}
        return {"adversarial": self.loss.discriminator(of_real, of_fake)}

    def generator_losses(self, batch: Batch) -> Losses:
        fake, queries, keys = self.fakes(batch)
        game = self.loss.generator(
            self.discriminator(fake).logits, lambda: self.discriminator(self._image(batch)).logits
        )
        return {"adversarial": game, "nce": lambda: self._contrast(queries, keys)}

    def _contrast(self, queries: Features, keys: Features) -> Tensor:
        """Compute L_PatchNCE: mean over features, places and pictures."""
        head = self.generator["head"]
        places = PatchProjection.places(queries, self.patches)
        with torch.no_grad():  # as in the paper's code, only the output is moved
            known = head(keys, places)
        pairs = zip(head(queries, places), known, strict=True)
        return torch.stack([patch_nce(query, key, self.temperature) for query, key in pairs]).mean()

    @property
    def network(self) -> nn.Module:
        return self.translator

    def translate(self, batch: Batch, generator: Generator | None = None) -> Tensor:
        return from_signed(self.translator(self._source(batch)), self.spec.levels)


@final
class CUT(ContrastiveTranslation):
    """lambda 1, and the contrast of images with what the generator makes of them: it shall leave the target domain as
    it is (Park et al. 2020, Section 3, lambda_X = lambda_Y = 1; their code takes the mean of both). Arguments as
    `ContrastiveTranslation`."""

    generator_weights = {"adversarial": 2.0, "nce": 1.0}  # noqa: RUF012

    def make_fakes(self, batch: Batch) -> tuple[Tensor, Features, Features]:
        both = torch.cat([self._source(batch), self._image(batch)])  # (2B, C, H, W)
        made, keys = self.translator.with_features(both)
        return made[: len(made) // 2], self.translator.features(made), keys


@final
class FastCUT(ContrastiveTranslation):
    """lambda 10, no contrast of images, and equivariance to flips: about half of the sources are translated mirrored,
    and the features of their outputs mirrored back (Park et al. 2020, Section 4, and their code, where a batch is
    mirrored as a whole). Arguments as `ContrastiveTranslation`."""

    generator_weights = {"adversarial": 2.0, "nce": 10.0}  # noqa: RUF012

    def make_fakes(self, batch: Batch) -> tuple[Tensor, Features, Features]:
        source, translator = self._source(batch), self.translator
        mirrored = torch.rand(len(source), device=source.device)[:, None, None, None] < 0.5
        fake = translator(torch.where(mirrored, source.flip(3), source))
        queries = tuple(torch.where(mirrored, x.flip(3), x) for x in translator.features(fake))
        with torch.no_grad():
            keys = translator.features(source)
        return fake, queries, keys
