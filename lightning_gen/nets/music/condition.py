"""What a bar of melody is conditioned on: its chord and the bar before.

Chord          the chord alone, one-hot
ChordAndBar    the chord and the bar before, as one learned vector
"""

from typing import final

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import one_hot, silu

from lightning_gen.batches import Batch
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.music.bars import check_bars
from lightning_gen.music.notation import CHORDS, STEPS, SYMBOLS, empty_bars
from lightning_gen.nets.condition import Condition, Conditioning, draw_labels

__all__ = ["Chord", "ChordAndBar", "draw_chord", "one_hot_bars"]


def one_hot_bars(bars: Tensor) -> Tensor:
    """Bars uint8 (B, 1, 1, 16) -> float (B, 38, 16), one channel per symbol."""
    return one_hot(bars[:, 0, 0].long(), SYMBOLS).transpose(1, 2).float()


def draw_chord(n: int, generator: Generator | None, device: torch.device) -> Batch:
    """Draw triads with equal probability, after a bar of rests."""
    label = draw_labels(len(CHORDS), n, generator).to(device)
    return {"label": label, "previous": empty_bars(n).to(device)}


@final
class Chord(Condition):
    """The triad as a one-hot vector of length 24.

    Args:
        spec: of the images; bars with chords.

    Raises:
        UserError: the images are no bars.
    """

    keys = ("label",)
    features = len(CHORDS)
    place: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec)
        check_bars(spec, "condition Chord", chords=True)
        self.register_buffer("place", torch.empty(0), persistent=False)

    def forward(self, batch: Batch | None) -> Conditioning:
        if batch is None or "label" not in batch:
            raise UserError("condition lacks label: want one chord per bar")
        return Conditioning(one_hot(batch["label"].to(self.place.device), len(CHORDS)).to(self.place))

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        return {"label": draw_labels(len(CHORDS), n, generator).to(self.place.device)}


@final
class ChordAndBar(Condition):
    """The triad and the bar before through one hidden layer.

    Args:
        spec: of the images; bars with chords.
        features: length of the vector, 1 or more.

    Raises:
        UserError: the images are no bars.
    """

    keys = ("label", "previous")

    def __init__(self, spec: ImageSpec, features: int = 64) -> None:
        super().__init__(spec)
        check_bars(spec, "condition ChordAndBar", chords=True)
        check_counts("condition", features=features)
        self.features = features
        self.first = nn.Linear(len(CHORDS) + SYMBOLS * STEPS, 2 * features)
        self.second = nn.Linear(2 * features, features)

    def forward(self, batch: Batch | None) -> Conditioning:
        if batch is None or "label" not in batch or "previous" not in batch:
            raise UserError("condition lacks label or previous: want a chord and the bar before, one per bar")
        weight = self.first.weight
        chord = one_hot(batch["label"].to(weight.device), len(CHORDS)).to(weight)
        before = one_hot_bars(batch["previous"].to(weight.device)).flatten(1).to(weight)
        return Conditioning(self.second(silu(self.first(torch.cat([chord, before], 1)))))

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        return draw_chord(n, generator, self.first.weight.device)
