"""Bars of melody with the chord and the bar before, and such bars drawn from a known grammar.

A batch holds ``image`` uint8 (B, 1, 1, 16), see `music.notation`; ``label``, the class of the chord; and ``previous``,
the bar before, rests where there is none.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import final

import torch
from torch import Generator, Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.music.notation import (
    CHORDS,
    HOLD,
    LOWEST,
    PITCHES,
    REST,
    STEPS,
    SYMBOLS,
    chord_pitches,
    empty_bars,
    transposed,
)

__all__ = ["Bars", "ToyMelodies"]


class Bars(MemoryImages):
    """A set of bars.

    Args:
        all_keys: the training bars in all twelve keys.
        batch_size: bars per process and batch.
        seed: of the order of the training bars.
        on_device: see `IndexedImages`.
    """

    def __init__(self, all_keys: bool = True, batch_size: int = 64, seed: int = 0, on_device: bool = True) -> None:
        super().__init__(batch_size, seed, None, on_device)
        self.all_keys = all_keys

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(1, 1, STEPS, SYMBOLS, classes=len(CHORDS), notation=True)

    @property
    def class_names(self) -> tuple[str, ...]:
        return CHORDS

    @abstractmethod
    def tunes(self) -> Mapping[Split, list[tuple[Tensor, Tensor, Tensor]]]:
        """Bars uint8 (N, 16), chords int64 (N,) and previous bars uint8 (N, 16) of each tune."""

    def load(self) -> Mapping[Split, dict[str, Column]]:
        return {split: self._columns(split, tunes) for split, tunes in self.tunes().items()}

    def _columns(self, split: Split, tunes: list[tuple[Tensor, Tensor, Tensor]]) -> dict[str, Column]:
        bars, chords, previous = (torch.cat(parts) for parts in zip(*tunes, strict=True))
        keys = range(-6, 6) if self.all_keys and split == "train" else (0,)
        moved = [(*transposed(bars, chords, key), transposed(previous, chords, key)[0]) for key in keys]
        image, label, before = (torch.cat(parts) for parts in zip(*moved, strict=True))
        return {"image": image[:, None, None], "label": label, "previous": before[:, None, None]}


@final
class ToyMelodies(Bars):
    """Bars drawn from a grammar whose probabilities are known: `log_prob`. Tunes of eight bars over random triads.

    A bar repeats the one before with probability 1/4. Otherwise each eighth is a new note, a hold, or a rest: 0.75,
    0.2, 0.05 while a note sounds, 0.9, 0, 0.1 in silence. Of the 36 pitches each one of the chord is six times as
    likely as another.

    Args:
        melodies: training tunes, 1 or more; 64 more for val and 256 for test.
        drawing: seed of the tunes.
        all_keys: see `Bars`, as are `batch_size`, `seed` and `on_device`; the grammar itself has no key.
    """

    repeats = 0.25

    def __init__(
        self,
        melodies: int = 1000,
        drawing: int = 0,
        all_keys: bool = False,
        batch_size: int = 64,
        seed: int = 0,
        on_device: bool = True,
    ) -> None:
        check_counts("data", limit=1_000_000, melodies=melodies)
        super().__init__(all_keys, batch_size, seed, on_device)
        self.melodies, self.drawing = melodies, drawing

    @property
    def name(self) -> str:  # type: ignore[override]
        return "toy_melodies"

    def tunes(self) -> Mapping[Split, list[tuple[Tensor, Tensor, Tensor]]]:
        generator = Generator().manual_seed(self.drawing)
        counts: dict[Split, int] = {"test": 256, "val": 64, "train": self.melodies}
        return {split: [self._draw(count, generator)] for split, count in counts.items()}

    def _draw(self, tunes: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        before, columns = empty_bars(tunes)[:, 0, 0], []
        for _ in range(8):
            chord = torch.randint(len(CHORDS), (tunes,), generator=generator)
            again = torch.rand(tunes, generator=generator) < self.repeats
            bar = torch.where(again[:, None], before, self._draw_bar(chord, generator))
            columns.append((bar, chord, before))
            before = bar
        bars, chords, previous = (torch.stack(parts, 1).flatten(0, 1) for parts in zip(*columns, strict=True))
        return bars, chords, previous

    def _draw_bar(self, chord: Tensor, generator: Generator) -> Tensor:
        """Triads (B,) -> uint8 (B, 16), none repeated on purpose."""
        pitch_p, sounding = _pitch_probabilities(chord), torch.zeros(len(chord), dtype=torch.bool)
        eighths = []
        for _ in range(STEPS // 2):
            kind = _kind_probabilities(sounding).multinomial(1, generator=generator)[:, 0]
            pitch = pitch_p.multinomial(1, generator=generator)[:, 0]
            symbol = torch.where(kind == 0, pitch, torch.where(kind == 1, HOLD, REST))
            sounding = symbol != REST
            eighths += [symbol, torch.where(sounding, HOLD, REST)]
        return torch.stack(eighths, 1).to(torch.uint8)

    def log_prob(self, bars: Tensor, chord: Tensor, previous: Tensor) -> Tensor:
        """log p(bar given chord and previous bar), nats, float64 (B,).

        Args:
            bars: uint8 (B, 1, 1, 16).
            chord: int64 (B,).
            previous: as `bars`.
        """
        rows, before = bars.flatten(1).long(), previous.flatten(1).long()
        pitch_p, sounding = _pitch_probabilities(chord), torch.zeros(len(chord), dtype=torch.bool)
        total = torch.zeros(len(chord), dtype=torch.float64)
        for eighth in range(STEPS // 2):
            symbol, second = rows[:, 2 * eighth], rows[:, 2 * eighth + 1]
            kind = torch.where(symbol < PITCHES, 0, torch.where(symbol == HOLD, 1, 2))
            total += _kind_probabilities(sounding).gather(1, kind[:, None])[:, 0].log()
            note = pitch_p.gather(1, symbol.clamp(max=PITCHES - 1)[:, None])[:, 0].log()
            total += torch.where(kind == 0, note, 0.0)
            sounding = symbol != REST
            total += torch.where(second == torch.where(sounding, HOLD, REST), 0.0, -math.inf)
        same = torch.where((rows == before).all(1), math.log(self.repeats), -math.inf)
        return torch.logaddexp(total + math.log1p(-self.repeats), same.double())


def _kind_probabilities(sounding: Tensor) -> Tensor:
    """bool (B,) -> probabilities of a new note, a hold and a rest, float64 (B, 3)."""
    both = torch.tensor([[0.9, 0.0, 0.1], [0.75, 0.2, 0.05]], dtype=torch.float64)
    return both[sounding.long()]


def _pitch_probabilities(chord: Tensor) -> Tensor:
    """Triads (B,) -> probabilities of the pitches, float64 (B, 36)."""
    classes = (torch.arange(PITCHES) + LOWEST) % 12
    weights = torch.where(chord_pitches(chord)[:, classes], 6.0, 1.0).double()
    return weights / weights.sum(1, keepdim=True)
