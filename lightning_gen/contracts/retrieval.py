"""Models that find the caption of a picture."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

__all__ = ["RetrievalModule"]


class RetrievalModule(ABC):
    """A model with vectors of length 1 for pictures and for captions, near where they belong together."""

    @abstractmethod
    def picture_vectors(self, image: Tensor) -> Tensor:
        """uint8 (B, C, H, W) -> float (B, K)."""

    @abstractmethod
    def text_vectors(self, texts: Sequence[str]) -> Tensor:
        """Captions -> float (B, K)."""
