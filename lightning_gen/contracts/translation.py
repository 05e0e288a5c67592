"""A model from a source image to a target image."""

from abc import abstractmethod

from torch import Tensor

from lightning_gen.contracts.module import ImageModule

__all__ = ["TranslationModule"]


class TranslationModule(ImageModule):
    """A model from a source image to a target image."""

    @abstractmethod
    def translate(self, source: Tensor) -> Tensor:
        """uint8 (B, C', h, w) -> uint8 (B, C, H, W)."""
