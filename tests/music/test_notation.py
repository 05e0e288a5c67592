"""Symbols of bars: notes and back, keys, chords."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.music.notation import (
    CHORDS,
    HOLD,
    LOWEST,
    PITCHES,
    REST,
    Note,
    chord_pitches,
    chord_vector,
    legal,
    notes_of,
    parse_chords,
    symbols_of,
    transposed,
)


def test_notes_come_back_and_a_repeated_note_is_no_long_one():
    notes = [Note(60, 0, 2), Note(60, 2, 4), Note(64, 6, 16), Note(72, 20, 32)]
    symbols = symbols_of(notes, 2)
    assert symbols.shape == (2, 16)
    assert symbols[0, :6].tolist() == [60 - LOWEST, HOLD, 60 - LOWEST, HOLD, REST, REST]
    assert notes_of(symbols) == notes


def test_pitches_beyond_the_range_keep_their_class():
    symbols = symbols_of([Note(LOWEST - 5, 0, 1), Note(LOWEST + PITCHES + 14, 1, 2)], 1)
    low, high = symbols[0, :2].tolist()
    assert (low + LOWEST) % 12 == (LOWEST - 5) % 12
    assert (high + LOWEST) % 12 == (LOWEST + PITCHES + 14) % 12


def test_a_hold_after_silence_is_silence():
    row = torch.tensor([[HOLD, REST, HOLD, 5, HOLD, REST] + [HOLD] * 10], dtype=torch.uint8)
    assert legal(row)[0].tolist() == [REST, REST, REST, 5, HOLD] + [REST] * 11
    assert notes_of(row) == [Note(LOWEST + 5, 3, 5)]


@pytest.mark.parametrize("key", range(-6, 6))
def test_every_key_moves_notes_and_chords_alike(key):
    bars, chord = torch.tensor([[10, HOLD, REST, 30] * 4], dtype=torch.uint8), torch.tensor([2])
    moved, name = transposed(bars, chord, key)
    assert (moved[0, 0] - 10 - key) % 12 == 0
    assert moved[0, 1:3].tolist() == [HOLD, REST]
    assert int(name) == (2 + key) % 12
    assert int(transposed(bars, torch.tensor([14]), key)[1]) == 12 + (2 + key) % 12


def test_triads_and_their_vectors():
    chords = torch.tensor([CHORDS.index("C"), CHORDS.index("Am")])
    assert [row.nonzero().flatten().tolist() for row in chord_pitches(chords)] == [[0, 4, 7], [0, 4, 9]]
    assert chord_vector(chords).nonzero().tolist() == [[0, 0], [1, 9], [1, 12]]


def test_names_of_chords():
    assert parse_chords("D G A7 Bm") == [CHORDS.index(name) for name in ("D", "G", "A", "Bm")]
    assert parse_chords("F#m, Gbm | Cb7") == [CHORDS.index("Gbm"), CHORDS.index("Gbm"), CHORDS.index("B")]
    for text, words in (
        ("", "want names such as"),
        ("H", "has 'H'"),
        ("Dsus4", "has 'Dsus4'"),
        ("D " + "x" * 99, "xxx"),
    ):
        with pytest.raises(UserError, match=words) as error:
            parse_chords(text)
        assert len(str(error.value)) < 200
