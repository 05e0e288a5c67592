"""A melody with its chords as sound: sine waves without any other library, or the instruments of a sound font."""

import io
import math
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.music.midi import midi_bytes
from lightning_gen.music.notation import STEPS, chord_notes, notes_of

__all__ = ["RATE", "font_wav", "sine_wav"]

#: samples per second
RATE = 22050
#: seconds in which a note comes, and in which it goes: without them it clicks
_ATTACK, _RELEASE = 0.01, 0.05
#: seconds after which a note is a third as loud
_DECAY = 0.9
_MELODY, _CHORD = 1.0, 0.22


def sine_wav(melody: Tensor, chords: Sequence[int], tempo: int = 120, rate: int = RATE) -> bytes:
    """Render a melody uint8 (N, 16) and the triad of each bar as decaying sine waves with two overtones.

    Args:
        melody: see `notation`.
        chords: N classes.
        tempo: quarters per minute.
        rate: samples per second.

    Returns:
        A mono WAV file of 16 bits.
    """
    step = 15.0 / tempo  # seconds of a sixteenth
    sound = np.zeros(math.ceil((len(chords) * STEPS * step + _RELEASE) * rate) + 1)
    voices = [(note, _MELODY) for note in notes_of(melody)] + [(note, _CHORD) for note in chord_notes(chords)]
    for note, loudness in voices:
        wave_form = loudness * _note(note.pitch, (note.end - note.start) * step, rate)
        first = round(note.start * step * rate)
        wave_form = wave_form[: len(sound) - first]
        sound[first : first + len(wave_form)] += wave_form
    return _wav(sound, rate)


def _note(pitch: int, seconds: float, rate: int) -> np.ndarray:
    time = np.arange(math.ceil((seconds + _RELEASE) * rate)) / rate
    phase = 2 * math.pi * 440.0 * 2.0 ** ((pitch - 69) / 12) * time
    tone = np.sin(phase) + 0.35 * np.sin(2 * phase) + 0.12 * np.sin(3 * phase)
    envelope = np.minimum(1.0, time / _ATTACK) * np.clip((seconds + _RELEASE - time) / _RELEASE, 0.0, 1.0)
    return tone * envelope * np.exp(-time / _DECAY)


def font_wav(melody: Tensor, chords: Sequence[int], font: Path, tempo: int = 120, rate: int = 44100) -> bytes:
    """Render the same with the piano of a sound font (SF2), by FluidSynth.

    Raises:
        UserError: pretty_midi or FluidSynth is not installed, or the file cannot be used.
    """
    try:
        import fluidsynth  # noqa: F401
        import pretty_midi
    except ImportError as error:
        what = f"--soundfont needs pretty_midi, pyfluidsynth and FluidSynth ({error})"
        raise UserError(f"{what}: want them installed, or no --soundfont for plain sine waves") from error
    score = pretty_midi.PrettyMIDI(io.BytesIO(midi_bytes(melody, chords, tempo)))
    try:
        return _wav(score.fluidsynth(fs=rate, synthesizer=str(font)), rate)
    except Exception as error:  # the synthesizer raises whatever a damaged font leads it to
        raise UserError(f"--soundfont is {font}, which cannot be used: {error}; want an SF2 file") from error


def _wav(sound: np.ndarray, rate: int) -> bytes:
    """Samples of any loudness as a WAV file whose loudest is 0.8."""
    loud = 0.8 * sound / max(1e-9, float(np.abs(sound).max(initial=0.0)))
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((loud * 32767).astype("<i2").tobytes())
    return stream.getvalue()
