"""Tunes as MIDI files: a melody track beside a chord track, in and out (``pip install lightning-gen[music]``)."""

import io
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.music.notation import STEPS, Note, chord_notes, chord_pitches, notes_of, symbols_of

__all__ = ["LARGEST", "Tune", "UnusableError", "cut_tune", "midi_bytes", "read_tune"]

#: bytes of a file; whoever reads one byte more lets `read_tune` refuse it
LARGEST = 4 << 20
_MOST_BARS = 4096
_TRIADS = [frozenset(row.nonzero().flatten().tolist()) for row in chord_pitches(torch.arange(24))]


class UnusableError(Exception):
    """A file that holds no tune of this form; its text says why, in a few words that are counted."""


class Tune(NamedTuple):
    """The usable bars of a tune.

    Attributes:
        bars: uint8 (N, 16), see `notation`.
        chords: int64 (N,), the triad at the downbeat of each bar.
        previous: uint8 (N, 16), the bar before; rests where there is none.
        dropped: bars that were left out, by reason.
    """

    bars: Tensor
    chords: Tensor
    previous: Tensor
    dropped: Counter[str]


def read_tune(content: bytes) -> Tune:
    """Read a melody with chords, all of it in 4/4.

    The melody is the track whose notes overlap least, the chords are those of the others. Of overlapping melody notes
    the higher one stays. A bar is left out where a note begins or ends off the sixteenths, or where no triad sounds at
    its downbeat. As the previous bar of the next one it stays, with its notes moved to the nearest sixteenth.

    Raises:
        UnusableError: it is no MIDI file, has another meter, no chords, or no note.
    """
    score = _parse(content)
    grid = Fraction(4, score.ticks_per_beat)  # sixteenths per tick
    _check_meter(score)
    tracks = [notes for notes in map(_track_notes, score.tracks) if notes]
    if not tracks:
        raise UnusableError("no notes")
    if len(tracks) < 2:
        raise UnusableError("no chord track")
    tracks.sort(key=_overlap)
    melody, chords = _monophonic(tracks[0]), [note for notes in tracks[1:] for note in notes]
    count = -(-max(end for _, _, end in melody) * grid // STEPS)
    if count > _MOST_BARS:
        raise UnusableError(f"more than {_MOST_BARS} bars")
    return cut_tune(melody, chords, grid, int(count))


def _parse(content: bytes) -> Any:
    mido = _library()
    if len(content) > LARGEST:
        raise UnusableError("larger than 4 MiB")
    try:
        score = mido.MidiFile(file=io.BytesIO(content))
    except Exception as error:  # the parser raises whatever the damage leads it to
        raise UnusableError("damaged, or no MIDI file") from error
    if score.ticks_per_beat < 1:
        raise UnusableError("no ticks per beat")
    return score


def _library() -> Any:
    try:
        import mido
    except ImportError as error:
        raise UserError("music needs mido, which is not installed: want pip install 'lightning-gen[music]'") from error
    return mido


def _check_meter(score: Any) -> None:
    meters = {(m.numerator, m.denominator) for track in score.tracks for m in track if m.type == "time_signature"}
    if meters - {(4, 4)}:
        names = " and ".join(f"{a}/{b}" for a, b in sorted(meters))
        raise UnusableError(f"meter {names}" if len(meters) == 1 else "several meters")


def _track_notes(track: Any) -> list[tuple[int, int, int]]:
    """(pitch, start, end) in ticks, in order of their start; drums are left out."""
    now = 0
    found: list[tuple[int, int, int]] = []
    open_notes: dict[int, int] = {}
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == 9:
            continue
        start = open_notes.pop(message.note, None)
        if start is not None and now > start:
            found.append((message.note, start, now))
        if message.type == "note_on" and message.velocity > 0:
            open_notes[message.note] = now
    return sorted(found, key=lambda note: (note[1], note[0]))


def _overlap(notes: Sequence[tuple[int, int, int]]) -> float:
    """Share of the notes that begin before the one before has ended."""
    return sum(b[1] < a[2] for a, b in pairwise(notes)) / len(notes)


def _monophonic(notes: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """One voice: of notes that sound together the higher one stays, a lower one ends where it begins."""
    kept: list[tuple[int, int, int]] = []
    for pitch, start, end in notes:
        if kept and start < kept[-1][2]:
            other = kept.pop()
            if other[0] > pitch:
                kept.append(other)
                continue
            if other[1] < start:
                kept.append((other[0], other[1], start))
        kept.append((pitch, start, end))
    return kept


def cut_tune(
    melody: Sequence[tuple[int, int, int]], chords: Sequence[tuple[int, int, int]], grid: Fraction, count: int
) -> Tune:
    """Cut a melody into bars.

    Args:
        melody: pitch, start and end of its notes, in order and without overlap.
        chords: the same of all that accompanies it.
        grid: sixteenths in the unit of the starts and ends.
        count: of the bars.

    Raises:
        UnusableError: no bar lies on the sixteenths with a triad at its downbeat.
    """
    whole, off_grid = _bars(melody, grid, count)
    sounding = _at_downbeats(chords, grid, count)
    dropped: Counter[str] = Counter()
    usable, triads = [], []
    for i in range(count):
        triad = _triad(sounding[i])
        if off_grid[i] or triad is None:
            dropped["off the sixteenths" if off_grid[i] else "no triad at the downbeat"] += 1
        else:
            usable.append(i)
            triads.append(triad)
    if not usable:
        raise UnusableError("no usable bar")
    bars = torch.cat([symbols_of([], 1), *(symbols_of(notes, 1) for notes in whole)])  # a bar of rests before the first
    index = torch.tensor(usable)
    return Tune(bars[index + 1], torch.tensor(triads), bars[index], dropped)


def _bars(melody: Sequence[tuple[int, int, int]], grid: Fraction, count: int) -> tuple[list[list[Note]], list[bool]]:
    """The notes of each bar, in sixteenths from its beginning, and whether one of them is not on the grid as it is."""
    whole: list[list[Note]] = [[] for _ in range(count)]
    off_grid = [False] * count
    for pitch, start, end in melody:
        first, last = round(start * grid), max(round(start * grid) + 1, round(end * grid))
        exact = first == start * grid and last == end * grid
        for bar in range(first // STEPS, min(count, -(-last // STEPS))):
            begin = bar * STEPS
            off_grid[bar] |= not exact or last > begin + STEPS or first < begin
            whole[bar].append(Note(pitch, max(0, first - begin), min(STEPS, last - begin)))
    return whole, off_grid


def _at_downbeats(chords: Sequence[tuple[int, int, int]], grid: Fraction, count: int) -> list[list[int]]:
    """The pitches that sound at the beginning of each bar."""
    sounding: list[list[int]] = [[] for _ in range(count)]
    for pitch, start, end in chords:
        for bar in range(math.ceil(start * grid / STEPS), min(count, math.ceil(end * grid / STEPS))):
            sounding[bar].append(pitch)
    return sounding


def _triad(pitches: Sequence[int]) -> int | None:
    """The major or minor triad whose pitch classes, with or without a seventh, these are; None where there is none."""
    classes = {pitch % 12 for pitch in pitches}
    fitting = [i for i, members in enumerate(_TRIADS) if members <= classes]
    if not fitting or len(classes) > 4:
        return None
    bass = min(pitches) % 12
    return next((i for i in fitting if i % 12 == bass), fitting[0])


def midi_bytes(symbols: Tensor, chords: Sequence[int], tempo: int = 120) -> bytes:
    """Write bars uint8 (N, 16) and the triad of each as a MIDI file of two tracks.

    Args:
        symbols: the melody; a HOLD at the beginning of a bar lasts on from the bar before.
        chords: N classes.
        tempo: quarters per minute.
    """
    mido = _library()
    ticks = 480
    score = mido.MidiFile(ticks_per_beat=ticks)
    head = mido.MidiTrack(
        [mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo)), mido.MetaMessage("time_signature", numerator=4)]
    )
    score.tracks.append(head)
    for name, notes, velocity in (("melody", notes_of(symbols), 90), ("chords", chord_notes(chords), 55)):
        score.tracks.append(_track(mido, name, notes, velocity, ticks // 4))
    stream = io.BytesIO()
    score.save(file=stream)
    return stream.getvalue()


def _track(mido: Any, name: str, notes: Sequence[Note], velocity: int, step: int) -> Any:
    events = [(start, 1, pitch) for pitch, start, _ in notes] + [(end, 0, pitch) for pitch, _, end in notes]
    track, now = mido.MidiTrack([mido.MetaMessage("track_name", name=name)]), 0
    for place, on, pitch in sorted(events):
        track.append(mido.Message("note_on", note=pitch, velocity=velocity * on, time=(place - now) * step))
        now = place
    return track
