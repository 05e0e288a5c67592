"""Captions read word by word: learned vectors and a recurrent layer."""

from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.text.encoder import VocabularyEncoder

__all__ = ["LearnedWords"]


@final
class LearnedWords(VocabularyEncoder):
    """A learned vector per word, and the state of a gated recurrent unit behind the last one (Cho et al. 2014). It
    learns with whatever it is part of; on few captions it learns them by heart.

    Args:
        spec: of the images; with captions.
        features: length of the vector, 1 or more.
        words: that it knows at most, 1 or more.
        length: words of a caption that are read, 1 or more.
        width: of the vectors of words, 1 or more.
    """

    def __init__(
        self, spec: ImageSpec, features: int = 64, words: int = 1024, length: int = 24, width: int = 64
    ) -> None:
        super().__init__(spec, words, length)
        check_counts("condition", features=features, width=width)
        self.features = features
        self.table = nn.Embedding(words + 1, width)
        self.cell = nn.GRUCell(width, features)

    def encode(self, words: Tensor) -> Tensor:
        there = (words > 0)[:, :, None]
        vectors = self.table(words)  # (B, length, width)
        state = torch.zeros(len(words), self.features, device=words.device, dtype=vectors.dtype)
        for step in range(self.length):  # padding leaves the state as it is
            state = torch.where(there[:, step], self.cell(vectors[:, step], state).to(state.dtype), state)
        return state
