"""Captions as a condition, without any download: words are hashed into a table of learned vectors."""

import re
import zlib
from collections.abc import Iterable
from itertools import islice, pairwise
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.condition import Condition, Conditioning

__all__ = ["HashedWords", "tokens"]

#: captions of the training set that are kept to draw from
_POOL = 1000


def tokens(text: str) -> list[str]:
    """Split a caption into lower-case words and numbers, in any alphabet."""
    return re.findall(r"\w+", text.lower())


@final
class HashedWords(Condition):
    """The mean of learned vectors of words and pairs of neighbouring words, found by a hash (Weinberger et al. 2009).

    Training captions are kept beside the weights, so that `draw` gives real ones wherever the checkpoint is.

    Args:
        spec: of the images; with captions.
        features: length of the vector, 1 or more.
        buckets: rows of the table, 1 or more.

    Raises:
        UserError: the images have no captions.
    """

    keys = ("text",)

    def __init__(self, spec: ImageSpec, features: int = 64, buckets: int = 4096) -> None:
        super().__init__(spec)
        if not spec.text:
            raise UserError("data has no captions: condition HashedWords wants a set with captions")
        check_counts("condition", features=features, buckets=buckets)
        self.features, self.buckets = features, buckets
        self.table = nn.EmbeddingBag(buckets, features, mode="mean")
        self.captions: list[str] = []

    def forward(self, batch: Batch | None) -> Conditioning:
        if batch is None or "text" not in batch:
            raise UserError("condition lacks text: want one caption per image")
        bags = [self._rows_of(text) for text in batch["text"]]
        ends = torch.tensor([0, *(len(bag) for bag in bags)]).cumsum(0)[:-1]
        device = self.table.weight.device
        words = torch.tensor([row for bag in bags for row in bag], dtype=torch.long)
        return Conditioning(self.table(words.to(device), ends.to(device)))

    def _rows_of(self, text: str) -> list[int]:
        words = tokens(text)
        pairs = [f"{a} {b}" for a, b in pairwise(words)]
        return [zlib.crc32(word.encode()) % self.buckets for word in (*words, *pairs)]

    def learn(self, batches: Iterable[Batch]) -> None:
        self.captions = list(islice((text for batch in batches for text in batch["text"]), _POOL))

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        if not self.captions:
            raise UserError("condition has no captions to draw from: want texts, or a trained checkpoint")
        device = generator.device if generator is not None else "cpu"
        chosen = torch.randint(len(self.captions), (n,), generator=generator, device=device)
        return {"text": [self.captions[i] for i in chosen.tolist()]}

    def get_extra_state(self) -> Tensor:
        # Text as bytes in a tensor: an EMA, an export and a checkpoint of plain values all keep it.
        return torch.tensor(list("\0".join(self.captions).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        text = bytes(state.tolist()).decode()
        self.captions = text.split("\0") if text else []
