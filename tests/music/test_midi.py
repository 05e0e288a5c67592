"""MIDI in and out: what is read, what is left out and why."""

import pytest
import torch

pytest.importorskip("mido")

from lightning_gen.music.midi import UnusableError, midi_bytes, read_tune
from lightning_gen.music.notation import CHORDS, HOLD, LOWEST, REST
from tests.music.tunes import midi, triad, tune


def test_a_tune_is_read_bar_by_bar():
    found = read_tune(tune(3))
    assert found.bars.shape == (3, 16)
    assert found.bars[0, :5].tolist() == [62 - LOWEST, HOLD, HOLD, HOLD, 66 - LOWEST]
    assert [CHORDS[i] for i in found.chords] == ["D", "G", "D"]
    assert found.previous[0].tolist() == [REST] * 16
    assert torch.equal(found.previous[1:], found.bars[:-1])
    assert not found.dropped


def test_what_is_written_is_read_again():
    found = read_tune(tune(4, transpose=1))
    again = read_tune(midi_bytes(found.bars, found.chords.tolist()))
    assert torch.equal(again.bars, found.bars)
    assert torch.equal(again.chords, found.chords)


def test_sevenths_are_triads_and_the_bass_decides():
    seventh = [(43, 0, 16), (47, 0, 16), (50, 0, 16), (53, 0, 16)]
    assert [CHORDS[i] for i in read_tune(midi([(67, 0, 16)], seventh)).chords] == ["G"]


def test_bars_off_the_grid_or_without_a_triad_are_left_out_and_counted():
    melody = [(62, 0, 16), (64, 16, 16 + 8 / 3), (65, 32, 48), (67, 48, 64)]
    chords = [*triad(50, 0, 16), *triad(50, 16, 32), *triad(50, 32, 48), (50, 48, 64)]
    found = read_tune(midi(melody, chords))
    assert found.bars[:, 0].tolist() == [62 - LOWEST, 65 - LOWEST]
    assert found.previous[1, 0] == 64 - LOWEST  # the bar before stays as what came before
    assert dict(found.dropped) == {"off the sixteenths": 1, "no triad at the downbeat": 1}


def test_of_notes_together_the_higher_stays():
    found = read_tune(midi([(74, 0, 8), (62, 4, 8), (60, 8, 16), (70, 12, 16)], triad(48, 0, 16) + triad(48, 4, 16)))
    assert found.bars[0, [0, 4, 8, 12]].tolist() == [74 - LOWEST, HOLD, 60 - LOWEST, 70 - LOWEST]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged, or no MIDI file"),
        (b"MThd" + b"\xff" * 40, "no ticks per beat"),
        (tune()[:60], "damaged, or no MIDI file"),
        (midi([(60, 0, 4)], triad(48, 0, 4), meter=(7, 8)), "meter 7/8"),
        (midi([(60, 0, 4)]), "no chord track"),
        (midi([]), "no notes"),
        (midi([(36, 0, 4)], [(38, 0, 4)], channel=9), "no notes"),
        (midi([(60, 0, 16)], [(50, 0, 16)]), "no usable bar"),
    ],
)
def test_what_is_no_tune_says_why(content, words):
    with pytest.raises(UnusableError, match=words):
        read_tune(content)


@pytest.mark.parametrize("seed", range(40))
def test_damage_is_never_more_than_unusable(seed):
    chance = torch.Generator().manual_seed(seed)
    content = bytearray(tune())
    for _ in range(1 + seed % 6):
        content[int(torch.randint(len(content), (), generator=chance))] = int(torch.randint(256, (), generator=chance))
    try:
        found = read_tune(bytes(content))
    except UnusableError:
        return
    assert int(found.bars.max()) < 38
