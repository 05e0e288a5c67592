"""Captions as bags of words, without any download: hashed with learned vectors, or counted and weighted (tf-idf)."""

import zlib
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.text.encoder import TextEncoder, VocabularyEncoder, tokens

__all__ = ["HashedWords", "TfIdf"]


@final
class HashedWords(TextEncoder):
    """The mean of learned vectors of words and pairs of neighbouring words, found by a hash (Weinberger et al. 2009):
    it needs no vocabulary, and every word means something, if only by chance.

    Args:
        spec: of the images; with captions.
        features: length of the vector, 1 or more.
        buckets: rows of the table, 1 or more.
        length: words of a caption that are read, 1 or more.
    """

    def __init__(self, spec: ImageSpec, features: int = 64, buckets: int = 4096, length: int = 64) -> None:
        super().__init__(spec)
        check_counts("condition", limit=1 << 20, features=features, buckets=buckets, length=length)
        self.features, self.buckets, self.length = features, buckets, length
        self.table = nn.Embedding(buckets, features)

    def read(self, text: str) -> Tensor:
        """int64 (2 * length,): hashes of words and pairs, from 1; 0 where there is none."""
        words = tokens(text)[: self.length]
        parts = [*words, *(f"{a} {b}" for a, b in pairwise(words))]
        hashes = [1 + (zlib.crc32(part.encode()) & 0x7FFFFFFF) for part in parts]
        return torch.tensor(hashes + [0] * (2 * self.length - len(hashes)))

    def unknown(self, text: str) -> list[str]:
        return list(dict.fromkeys(tokens(text)[self.length :]))

    def encode(self, words: Tensor) -> Tensor:
        there = (words > 0)[:, :, None]  # (B, 2 length, 1)
        vectors = self.table((words - 1) % self.buckets) * there
        return vectors.sum(1) / there.sum(1).clamp(min=1)


@final
class TfIdf(VocabularyEncoder):
    """How often each known word stands in a caption, times the logarithm of how rare it is (Sparck Jones 1972; smoothed
    as log((1 + N) / (1 + n)) + 1 for a word of n of the N training captions). Nothing of it is trained. The vector has
    length sqrt(words), a mean square of 1, as the layers behind it are made for.

    Args:
        spec: of the images; with captions.
        words: that it knows at most, and length of the vector, 1 or more.
        length: words of a caption that are read, 1 or more.
    """

    rarity: Tensor

    def __init__(self, spec: ImageSpec, words: int = 1024, length: int = 32) -> None:
        super().__init__(spec, words, length)
        self.features = words
        self.register_buffer("rarity", torch.zeros(words))

    def weigh(self, counts: Tensor, captions: int) -> None:
        weights = ((1.0 + captions) / (1.0 + counts)).log() + 1.0
        self.rarity.zero_()
        self.rarity[: len(weights)] = weights.to(self.rarity)

    def encode(self, words: Tensor) -> Tensor:
        counts = torch.zeros(len(words), self.words + 1, device=words.device)
        counts = counts.scatter_add(1, words, torch.ones_like(words, dtype=counts.dtype))[:, 1:]  # 0 is no word
        return normalize(counts * self.rarity, dim=1) * self.words**0.5
