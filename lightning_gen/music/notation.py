"""Bars of sixteenths as rows of symbols, and chords as classes.

A bar of 4/4 is 16 symbols, one per sixteenth: a note that begins (its pitch), a note that lasts (HOLD), or silence
(REST). So a repeated note is not a long one. As an image a bar is 1 x 1 x 16 with `SYMBOLS` levels: levels 0..35 are
the pitches `LOWEST`..`LOWEST` + 35, then HOLD and REST.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gen.errors import UserError

__all__ = [
    "CHORDS",
    "HOLD",
    "LOWEST",
    "PITCHES",
    "REST",
    "STEPS",
    "SYMBOLS",
    "Note",
    "chord_notes",
    "chord_pitches",
    "chord_vector",
    "empty_bars",
    "legal",
    "moved_chords",
    "notes_of",
    "parse_chords",
    "symbols_of",
    "transposed",
]

#: sixteenths of a bar
STEPS = 16
#: MIDI number of level 0, E3: the tunes of the Nottingham set in every key lie within three octaves from here
LOWEST = 52
PITCHES = 36
HOLD, REST = PITCHES, PITCHES + 1
SYMBOLS = PITCHES + 2
_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
#: names of the 24 triads by class: twelve major ones, then twelve minor ones
CHORDS = (*_NAMES, *(f"{name}m" for name in _NAMES))
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


class Note(NamedTuple):
    """A note: MIDI pitch, and beginning and end in sixteenths."""

    pitch: int
    start: int
    end: int


def symbols_of(notes: Sequence[Note], bars: int) -> Tensor:
    """Write one voice as symbols. Pitches outside the three octaves are moved by whole octaves.

    Args:
        notes: in order, without overlap, within the bars.
        bars: N.

    Returns:
        uint8 (N, 16).
    """
    row = torch.full((bars * STEPS,), REST, dtype=torch.uint8)
    for note in notes:
        level = note.pitch - LOWEST
        level = level % 12 + (0 if level < 0 else PITCHES - 12) if not 0 <= level < PITCHES else level
        row[note.start] = level
        row[note.start + 1 : note.end] = HOLD
    return row.view(bars, STEPS)


def empty_bars(n: int) -> Tensor:
    """Make bars of rests, uint8 (n, 1, 1, 16): what comes before the first one."""
    return torch.full((n, 1, 1, STEPS), REST, dtype=torch.uint8)


def notes_of(symbols: Tensor) -> list[Note]:
    """Read symbols (..., 16) or a longer row as notes, one voice. A HOLD after silence is silence."""
    notes: list[Note] = []
    sounding = False
    for step, symbol in enumerate(symbols.flatten().tolist()):
        if symbol < PITCHES:
            notes.append(Note(LOWEST + symbol, step, step + 1))
        elif symbol == HOLD and sounding:
            notes[-1] = notes[-1]._replace(end=step + 1)
        sounding = symbol < PITCHES or (symbol == HOLD and sounding)
    return notes


def legal(symbols: Tensor) -> Tensor:
    """Replace each HOLD that follows silence within its row by REST: uint8 (N, 16) -> uint8 (N, 16)."""
    out, sounding = symbols.clone(), torch.zeros(len(symbols), dtype=torch.bool, device=symbols.device)
    for step in range(symbols.shape[1]):
        silent = (out[:, step] == HOLD) & ~sounding
        out[:, step] = torch.where(silent, REST, out[:, step])
        sounding = out[:, step] != REST
    return out


def transposed(symbols: Tensor, chord: Tensor, semitones: int) -> tuple[Tensor, Tensor]:
    """Move bars uint8 (N, 16) and their chords int64 (N,) by `semitones`, -11..11; a pitch that leaves the three
    octaves comes back by an octave."""
    pitch = symbols.long() + semitones
    pitch = torch.where(pitch < 0, pitch + 12, torch.where(pitch >= PITCHES, pitch - 12, pitch))
    moved = torch.where(symbols < PITCHES, pitch, symbols.long()).to(torch.uint8)
    return moved, moved_chords(chord, semitones)


def moved_chords(chord: Tensor, semitones: int) -> Tensor:
    """Move classes of triads, int64 of any shape, by `semitones`."""
    minor = chord.div(12, rounding_mode="floor") * 12
    return minor + (chord + semitones) % 12


def chord_pitches(chord: Tensor) -> Tensor:
    """Classes of triads int64 (B,) -> their pitch classes, bool (B, 12)."""
    root, minor = chord % 12, chord >= 12
    members = torch.stack([root, root + torch.where(minor, 3, 4), root + 7], 1) % 12
    return torch.zeros(len(chord), 12, dtype=torch.bool, device=chord.device).scatter(1, members, True)


def chord_notes(chords: Sequence[int]) -> list[Note]:
    """The accompaniment of bars with these triads: their three notes from C3 on, a bar long each."""
    members = [(chord % 12 + step) % 12 for chord in chords for step in (0, 3 if chord >= 12 else 4, 7)]
    return [Note(48 + member, STEPS * (i // 3), STEPS * (i // 3 + 1)) for i, member in enumerate(members)]


def chord_vector(chord: Tensor) -> Tensor:
    """Classes of triads int64 (B,) -> float (B, 13): root as one of twelve, and 1 for minor (Yang et al. 2017, 3.3)."""
    out = torch.zeros(len(chord), 13, device=chord.device)
    return torch.cat([out[:, :12].scatter(1, (chord % 12)[:, None], 1.0), (chord >= 12).float()[:, None]], 1)


def parse_chords(text: str) -> list[int]:
    """``"D G A7 Bm"`` -> classes of triads; sevenths are read as their triads.

    Raises:
        UserError: a name is no major, minor or dominant seventh chord.
    """
    names = text.replace(",", " ").replace("|", " ").split()
    if not names:
        raise UserError(f"--chords is '{text}': want names such as D, Bm or F#m, one per bar")
    return [_chord(name) for name in names]


def _chord(name: str) -> int:
    found = re.fullmatch(r"([A-G])([#b♯♭]?)(m|min|maj|M)?7?", name)
    if not found:
        raise UserError(f"--chords has '{name[:40]}': want a root A to G, # or b, and m for minor, e.g. F#m")
    letter, accidental, kind = found.groups()
    root = _LETTERS[letter] + {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[accidental]
    return root % 12 + (12 if kind in ("m", "min") else 0)
