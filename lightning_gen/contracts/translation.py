"""Models from a source image to a target image."""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch, select_rows
from lightning_gen.contracts.module import ImageModule
from lightning_gen.images import as_pictures, grid

__all__ = ["BackTranslationModule", "SuperResolutionModule", "TranslationModule"]


class TranslationModule(ImageModule):
    """A model that makes an image from ``batch["source"]``."""

    @property
    def stochastic(self) -> bool:
        """Whether one source gives other outputs with another generator."""
        return False

    @property
    def network(self) -> nn.Module:
        """The network that `translate` runs: signed sources (B, C', H, W) -> signed images (B, C, H, W)."""
        return self.ema_network

    @abstractmethod
    def translate(self, batch: Batch, generator: Generator | None = None) -> Tensor:
        """Translate each source. Its height and width may be others than those of the spec.

        Args:
            batch: with ``source``, uint8 (B, C', h, w), and the other `condition_keys` where the model has any.
            generator: source of all randomness, for a model that gives several outputs per source.

        Returns:
            uint8 (B, C, H, W), values 0..levels-1.
        """

    def preview(self, batch: Batch, generator: Generator | None = None) -> Tensor | None:
        """Draw eight rows of source | output | target, all of the target's size."""
        assert self.spec.source is not None
        few, size = select_rows(batch, 0, 8), (self.spec.height, self.spec.width)
        columns = [
            as_pictures(few["source"], self.spec.source, size),
            as_pictures(self.translate(few, generator), self.spec, size),
            as_pictures(few["image"], self.spec, size),
        ]  # each uint8 (B, 3, H, W)
        return grid(torch.stack(columns, 1).flatten(0, 1), 256, columns=3)


class SuperResolutionModule(TranslationModule):
    """A translation model whose image is its source at a larger size."""

    @property
    @abstractmethod
    def radius(self) -> int:
        """Source pixels between a pixel and the farthest one that its output depends on: how far tiles must overlap."""


class BackTranslationModule(ABC):
    """A translation model that has the inverse as well."""

    @abstractmethod
    def translate_back(self, batch: Batch, generator: Generator | None = None) -> Tensor:
        """``batch["image"]``, uint8 (B, C, H, W) -> uint8 (B, C', h, w) as a source would be."""
