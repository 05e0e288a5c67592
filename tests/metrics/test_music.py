"""Statistics of bars made by hand, overlaps of sets whose answer is known."""

import math

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.extractors import PCA
from lightning_gen.metrics.music import (
    STATISTICS,
    BarStatistics,
    HistogramOverlap,
    bar_statistics,
    chord_tones,
    repeats,
)
from lightning_gen.music.notation import CHORDS, HOLD, LOWEST, REST, SYMBOLS

BARS = ImageSpec(1, 1, 16, SYMBOLS, classes=24)
C4, D4, E4, G4, C5 = (pitch - LOWEST for pitch in (60, 62, 64, 67, 72))


def bar(*parts):
    """(symbol, sixteenths) -> uint8 (1, 16): the symbol, then holds; a rest repeats."""
    row = []
    for symbol, length in parts:
        row += [symbol] + [REST if symbol == REST else HOLD] * (length - 1)
    return torch.tensor([row], dtype=torch.uint8)


def named(row):
    return dict(zip(STATISTICS, bar_statistics(row)[0].tolist(), strict=True))


def test_a_broken_chord():
    found = named(bar((C4, 4), (E4, 4), (G4, 4), (C5, 4)))
    wanted = {"notes": 4, "pitches": 4, "range": 12, "entropy": 1.5, "scale": 1, "qualified": 1}
    wanted |= {"interval": 4, "length": 4, "rests": 0}
    assert found == pytest.approx(wanted)


def test_repeated_short_and_foreign_notes():
    found = named(bar((C4, 1), (C4, 1), (C4 + 1, 2), (REST, 4), (D4, 8)))
    assert (found["notes"], found["pitches"]) == (4, 3)
    assert found["entropy"] == pytest.approx(1.5)
    assert found["scale"] == pytest.approx(0.75)  # no major scale has C, C sharp and D
    assert found["qualified"] == pytest.approx(0.5)
    assert found["interval"] == pytest.approx(2 / 3)
    assert found["length"] == pytest.approx(3)
    assert found["rests"] == 4


def test_an_empty_bar_and_a_bar_that_is_only_held():
    assert named(bar((REST, 16))) == {**dict.fromkeys(STATISTICS, 0.0), "rests": 16.0}
    held = torch.full((1, 16), HOLD, dtype=torch.uint8)
    assert named(held) == dict.fromkeys(STATISTICS, 0.0)
    assert math.isnan(chord_tones(held, torch.tensor([0]))[0])


def test_chord_tones_and_repeats():
    row = bar((C4, 4), (D4, 4), (E4, 4), (C5, 4))
    shares = {name: chord_tones(row, torch.tensor([CHORDS.index(name)])).item() for name in ("C", "Cm", "G", "Am")}
    assert shares == pytest.approx({"C": 0.75, "Cm": 0.5, "G": 0.25, "Am": 0.75})
    assert repeats(torch.cat([row, row]), torch.cat([row, row.flip(1)])).tolist() == [True, False]


def test_the_same_set_overlaps_wholly_and_another_not_at_all():
    low, high = bar(*[(C4, 1)] * 16)[:, None, None], bar((C4, 16))[:, None, None]
    metric = HistogramOverlap(BarStatistics(BARS))
    metric.update(torch.cat([low, high]), real=True)
    metric.update(torch.cat([low, low]), real=False)
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found["overlap_notes"] == found["overlap_length"] == pytest.approx(0.5)
    assert found["overlap_pitches"] == pytest.approx(1.0)
    metric.reset()
    metric.update(low, real=True)
    metric.update(high, real=False)
    assert metric.compute()["overlap_notes"] == 0


def test_other_images_and_other_features_are_refused_in_one_line():
    with pytest.raises(UserError, match="BarStatistics wants bars of melody"):
        BarStatistics(ImageSpec(1, 8, 8))
    with pytest.raises(UserError, match="HistogramOverlap wants BarStatistics"):
        HistogramOverlap(PCA(BARS))
