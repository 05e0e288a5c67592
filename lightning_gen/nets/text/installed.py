"""A sentence encoder that the user has installed, behind the interface of the others."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.text.encoder import TextEncoder

__all__ = ["InstalledEncoder"]


@final
class InstalledEncoder(TextEncoder):
    """The vectors of any installed encoder. Each caption is encoded once, on the CPU; the encoder is no part of the
    checkpoint, so sampling wants it installed too.

    Args:
        spec: of the images; with captions.
        encoder: made without arguments; called with a list of N texts, gives N vectors, as a tensor, an array or lists.
            A class of a package that the user trusts (``--trust PACKAGE``).
        features: length of the vectors.
    """

    anchor: Tensor

    def __init__(self, spec: ImageSpec, encoder: Callable[[], Callable[[list[str]], object]], features: int) -> None:
        super().__init__(spec)
        check_counts("condition", features=features)
        self.features = features
        self._encoder = (encoder(),)  # in a tuple: its weights never enter a checkpoint
        self.register_buffer("anchor", torch.zeros(1), persistent=False)

    def read(self, text: str) -> Tensor:
        row = torch.as_tensor(self._encoder[0]([text])).float().cpu()
        if row.shape != (1, self.features):
            raise UserError(f"condition.features is {self.features}: the encoder gives {tuple(row.shape)} for one text")
        return row[0]

    def encode(self, words: Tensor) -> Tensor:
        return words
