"""Models that make a picture of a sentence."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

__all__ = ["TextModule"]


class TextModule(ABC):
    """A model whose image is a function of noise and of the code of a text."""

    @abstractmethod
    def unknown_words(self, text: str) -> list[str]:
        """List the words of a sentence that change nothing in the picture."""

    @abstractmethod
    def text_code(self, texts: Sequence[str]) -> Tensor:
        """Sentences -> codes, float (B, K); deterministic. Sentences may be empty, long, or in any alphabet."""

    @abstractmethod
    def generate_from_code(self, z: Tensor, code: Tensor) -> Tensor:
        """Noise float (B, Z) and codes (B, K), of sentences or between them -> uint8 (B, C, H, W); deterministic."""
