"""Statistics of bars of melody, and how far their distributions overlap with those of real bars.

BarStatistics       nine numbers per bar, as features of an evaluation
HistogramOverlap    overlap of each number's histogram (Yang and Lerch 2020, Section 3.2, by counts)
"""

from typing import ClassVar, final

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.distances import SetDistance, Value
from lightning_gen.metrics.extractors import Extractor
from lightning_gen.music.bars import check_bars
from lightning_gen.music.notation import HOLD, LOWEST, PITCHES, STEPS, chord_pitches

__all__ = ["STATISTICS", "BarStatistics", "HistogramOverlap", "bar_statistics", "chord_tones", "overlaps", "repeats"]

#: name -> largest value; the smallest is 0
STATISTICS = {
    "notes": 16.0,  # notes that begin
    "pitches": 16.0,  # different ones
    "range": 35.0,  # semitones from the lowest to the highest
    "entropy": 4.0,  # of the pitch classes, bits
    "scale": 1.0,  # largest share of notes in one major scale
    "qualified": 1.0,  # share of notes of two sixteenths or more
    "interval": 35.0,  # mean distance of neighbouring notes, semitones
    "length": 16.0,  # mean length of a note, sixteenths
    "rests": 16.0,  # sixteenths of silence
}
#: of each histogram
BINS = 20
_MAJOR = (0, 2, 4, 5, 7, 9, 11)


def bar_statistics(bars: Tensor) -> Tensor:
    """Bars uint8 (B, 16) -> float (B, 9), in the order of `STATISTICS`; an empty bar has 0 everywhere but in rests.

    A note that is held from the bar before has no beginning here, and is no note.
    """
    symbol = bars.long()
    onset = symbol < PITCHES  # (B, 16)
    count = onset.sum(1).float()
    notes = count.clamp(min=1)
    pitch = torch.where(onset, symbol, 0)
    counts = torch.zeros(len(bars), PITCHES, device=bars.device).scatter_add(1, pitch, onset.float())
    low = torch.where(onset, symbol, PITCHES).amin(1)
    spread = torch.where(count > 0, torch.where(onset, symbol, -1).amax(1) - low, 0).float()
    classes = _classes(counts)  # (B, 12)
    share = classes / notes[:, None]
    entropy = -(share * share.clamp(min=1e-12).log2()).sum(1)
    scales = torch.stack([share[:, [(root + step) % 12 for step in _MAJOR]].sum(1) for root in range(12)], 1)
    lengths, intervals = _lengths(symbol), _intervals(symbol)
    long = (onset & (lengths >= 2)).sum(1)
    return torch.stack(
        [
            count,
            (counts > 0).sum(1).float(),
            spread,
            entropy,
            scales.amax(1),
            long / notes,
            intervals / (notes - 1).clamp(min=1),
            (lengths * onset).sum(1) / notes,
            _silence(symbol).sum(1).float(),
        ],
        1,
    )


def _classes(counts: Tensor) -> Tensor:
    """Counts of pitches (B, 36) -> of pitch classes (B, 12), C first."""
    return counts.unflatten(1, (PITCHES // 12, 12)).sum(1).roll(LOWEST % 12, 1)


def _lengths(symbol: Tensor) -> Tensor:
    """Sixteenths that a note lasts which begins at each step: int64 (B, 16)."""
    held, out = torch.zeros_like(symbol[:, 0]), []
    for step in reversed(range(STEPS)):
        out.append(held + 1)
        held = torch.where(symbol[:, step] == HOLD, held + 1, 0)
    return torch.stack(out[::-1], 1)


def _intervals(symbol: Tensor) -> Tensor:
    """Sum over neighbouring notes of their distance in semitones: float (B,)."""
    last, total = torch.full_like(symbol[:, 0], -1), torch.zeros(len(symbol), device=symbol.device)
    for step in range(STEPS):
        now = symbol[:, step]
        onset = now < PITCHES
        total += torch.where(onset & (last >= 0), (now - last).abs(), 0)
        last = torch.where(onset, now, last)
    return total


def _silence(symbol: Tensor) -> Tensor:
    """Whether each step is silent, bool (B, 16): a HOLD after silence is, one at the beginning of the bar is not."""
    sounding, out = torch.ones(len(symbol), dtype=torch.bool, device=symbol.device), []
    for step in range(STEPS):
        sounding = (symbol[:, step] < PITCHES) | ((symbol[:, step] == HOLD) & sounding)
        out.append(~sounding)
    return torch.stack(out, 1)


def chord_tones(bars: Tensor, chord: Tensor) -> Tensor:
    """Share of the notes of bars uint8 (B, 16) that lie in their triads int64 (B,): float (B,), nan without a note."""
    symbol = bars.long()
    onset = symbol < PITCHES
    members = chord_pitches(chord).gather(1, (torch.where(onset, symbol, 0) + LOWEST) % 12)
    return (members & onset).sum(1) / onset.sum(1).float()


def repeats(bars: Tensor, previous: Tensor) -> Tensor:
    """Whether each bar uint8 (B, 16) is the one before once more: bool (B,)."""
    return (bars == previous).all(1)


@final
class BarStatistics(Extractor):
    """`bar_statistics` as features.

    Args:
        spec: of bars of melody.

    Raises:
        UserError: the images are no bars.
    """

    kind = "bars"
    names: ClassVar[tuple[str, ...]] = tuple(STATISTICS)

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec)
        check_bars(spec, "evaluation.extractor BarStatistics")

    @property
    def dims(self) -> int:
        return len(STATISTICS)

    def forward(self, image: Tensor) -> Tensor:
        return bar_statistics(image[:, 0, 0])


class HistogramOverlap(SetDistance):
    """For each statistic the overlap of the histograms of real and generated bars, 0 to 1: sum over 20 equal bins of
    the smaller share. Two halves of a real set do not reach 1: compare with `baselines`.

    Args:
        extractor: `BarStatistics`.

    Raises:
        UserError: it is another one.
    """

    def __init__(self, extractor: Extractor) -> None:
        if not isinstance(extractor, BarStatistics):
            raise UserError(f"evaluation.extractor is {type(extractor).__name__}: HistogramOverlap wants BarStatistics")
        super().__init__(extractor)

    @property
    def settings(self) -> dict[str, int]:
        return {"bins": BINS}

    def reference(self, real: Tensor) -> dict[str, Tensor]:
        return {"shares": _shares(real)}

    def compare(self, reference: dict[str, Tensor], generated: Tensor) -> list[Value]:
        overlap = torch.minimum(reference["shares"].to(generated.device), _shares(generated)).sum(1)
        values = zip(STATISTICS, overlap.tolist(), strict=True)
        return [Value(f"overlap_{name}", value, None, "higher") for name, value in values]


def overlaps(real: Tensor, generated: Tensor) -> Tensor:
    """Overlap of the histograms of each statistic, (N, 9) and (M, 9) as of `bar_statistics` -> float64 (9,), 0 to 1."""
    return torch.minimum(_shares(real), _shares(generated)).sum(1)


def _shares(features: Tensor) -> Tensor:
    """(N, 9) -> share of the bars in each bin, (9, 20)."""
    largest = torch.tensor(list(STATISTICS.values()), device=features.device)
    place = (features / largest * BINS).long().clamp(0, BINS - 1)  # (N, 9)
    counts = torch.zeros(features.shape[1], BINS, device=features.device, dtype=torch.float64)
    counts.scatter_add_(1, place.T, torch.ones_like(place.T, dtype=torch.float64))
    return counts / len(features)
