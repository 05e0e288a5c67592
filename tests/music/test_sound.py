"""Sound: the pitch that is written is the one that is heard, in the time that it lasts."""

import io
import wave

import numpy as np
import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.music.notation import CHORDS, LOWEST, REST, Note, chord_notes, symbols_of
from lightning_gen.music.sound import font_wav, sine_wav

RATE = 11025


def samples(content):
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767


def loudest_frequency(part):
    return np.fft.rfftfreq(len(part), 1 / RATE)[np.abs(np.fft.rfft(part * np.hanning(len(part)))).argmax()]


def test_a_note_is_heard_at_its_pitch_and_time():
    melody = symbols_of([Note(69, 0, 8), Note(81, 8, 16)], 1)  # A4, then A5
    sound = samples(sine_wav(melody, [CHORDS.index("F")], tempo=120, rate=RATE))
    half = RATE  # at 120 a bar lasts two seconds
    assert loudest_frequency(sound[:half]) == pytest.approx(440, abs=2)
    assert loudest_frequency(sound[half : 2 * half]) == pytest.approx(880, abs=2)
    assert np.abs(sound).max() == pytest.approx(0.8, abs=1e-3)
    assert len(sound) / RATE == pytest.approx(2.05, abs=0.01)


def test_silence_leaves_the_chord_alone():
    rests = torch.full((1, 16), REST, dtype=torch.uint8)
    sound = samples(sine_wav(rests, [CHORDS.index("Am")], rate=RATE))
    tones = {69 + 12 * np.log2(loudest_frequency(sound) / 440)}
    assert round(tones.pop()) in {note.pitch for note in chord_notes([CHORDS.index("Am")])}


def test_an_accompaniment_has_the_notes_of_its_chords():
    found = chord_notes([CHORDS.index("C"), CHORDS.index("Am")])
    assert {note.pitch % 12 for note in found[:3]} == {0, 4, 7}
    assert {note.pitch % 12 for note in found[3:]} == {9, 0, 4}
    assert {(note.start, note.end) for note in found[3:]} == {(16, 32)}


def test_a_sound_font_that_cannot_be_used_is_said_in_one_line(tmp_path):
    melody = symbols_of([Note(LOWEST, 0, 4)], 1)
    with pytest.raises(UserError, match="--soundfont"):
        font_wav(melody, [0], tmp_path / "none.sf2")
