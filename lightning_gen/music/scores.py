"""A melody with its chords for people: as a picture, as MusicXML."""

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from torch import Tensor

from lightning_gen.music.notation import CHORDS, LOWEST, PITCHES, STEPS, Note, notes_of

__all__ = ["draw_score", "musicxml"]

#: length in sixteenths -> MusicXML's name of the note and its dots
_LENGTHS = {
    16: ("whole", 0),
    12: ("half", 1),
    8: ("half", 0),
    6: ("quarter", 1),
    4: ("quarter", 0),
    3: ("eighth", 1),
    2: ("eighth", 0),
    1: ("16th", 0),
}
_STEPS = ("C", "D", "D", "E", "E", "F", "G", "G", "A", "A", "B", "B")
_FLATS = (0, -1, 0, -1, 0, 0, -1, 0, -1, 0, -1, 0)


def draw_score(melodies: Sequence[Tensor], chords: Sequence[int], titles: Sequence[str]) -> Any:
    """Draw melodies uint8 (N, 16) over the same N chords as piano rolls below each other, a matplotlib figure."""
    from matplotlib.figure import Figure

    bars = len(chords)
    figure = Figure(figsize=(2 + 1.4 * bars, 1.0 + 1.6 * len(melodies)), layout="constrained")
    axes = figure.subplots(len(melodies), 1, squeeze=False)[:, 0]
    for axis, melody, title in zip(axes, melodies, titles, strict=True):
        for note in notes_of(melody):
            axis.barh(note.pitch, note.end - note.start, left=note.start, height=0.9, color="#82a0d2")
            axis.barh(note.pitch, 1, left=note.start, height=0.9, color="#14326e")
        for bar in range(bars + 1):
            axis.axvline(STEPS * bar, color="#999999", linewidth=1)
        axis.set(xlim=(0, STEPS * bars), ylim=(LOWEST, LOWEST + PITCHES), ylabel=title)
        axis.set_xticks([STEPS * bar + STEPS / 2 for bar in range(bars)], [CHORDS[chord] for chord in chords])
        axis.set_yticks([60, 72, 84], ["C4", "C5", "C6"])
        axis.grid(axis="y", color="#dddddd")
    return figure


def musicxml(melody: Tensor, chords: Sequence[int], title: str) -> str:
    """Write a melody uint8 (N, 16) and N chords as MusicXML 4.0: one voice in 4/4, with chord names above."""
    measures = []
    notes = notes_of(melody)
    for bar, chord in enumerate(chords):
        parts = [_harmony(chord)]
        if bar == 0:
            clef = "<clef><sign>G</sign><line>2</line></clef>"
            time = "<time><beats>4</beats><beat-type>4</beat-type></time>"
            parts.insert(0, f"<attributes><divisions>4</divisions>{time}{clef}</attributes>")
        parts += _measure(notes, STEPS * bar)
        measures.append(f'<measure number="{bar + 1}">{"".join(parts)}</measure>')
    head = f"<work><work-title>{escape(title)}</work-title></work>"
    part = '<part-list><score-part id="P1"><part-name>Melody</part-name></score-part></part-list>'
    body = f'<part id="P1">{"".join(measures)}</part>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<score-partwise version="4.0">{head}{part}{body}</score-partwise>\n'
    )


def _harmony(chord: int) -> str:
    root, kind = chord % 12, "minor" if chord >= 12 else "major"
    alter = f"<root-alter>{_FLATS[root]}</root-alter>" if _FLATS[root] else ""
    return f"<harmony><root><root-step>{_STEPS[root]}</root-step>{alter}</root><kind>{kind}</kind></harmony>"


def _measure(notes: Sequence[Note], start: int) -> list[str]:
    """The notes and rests of one bar; a note over the bar line is two with a tie."""
    found, now = [], start
    for note in notes:
        begin, end = max(note.start, start), min(note.end, start + STEPS)
        if begin >= end:
            continue
        found += _written(None, begin - now, False, False)
        found += _written(note.pitch, end - begin, note.start < start, note.end > end)
        now = end
    return found + _written(None, start + STEPS - now, False, False)


def _written(pitch: int | None, length: int, tied_before: bool, tied_after: bool) -> list[str]:
    """A note, or a rest where `pitch` is None, as one symbol or several tied ones."""
    pieces = []
    while length > 0:
        piece = max(known for known in _LENGTHS if known <= length)
        pieces.append(piece)
        length -= piece
    return [
        _symbol(pitch, piece, tied_before or i > 0, tied_after or i < len(pieces) - 1) for i, piece in enumerate(pieces)
    ]


def _symbol(pitch: int | None, length: int, stop: bool, start: bool) -> str:
    name, dots = _LENGTHS[length]
    what, ties = "<rest/>", ""
    if pitch is not None:
        alter = f"<alter>{_FLATS[pitch % 12]}</alter>" if _FLATS[pitch % 12] else ""
        what = f"<pitch><step>{_STEPS[pitch % 12]}</step>{alter}<octave>{pitch // 12 - 1}</octave></pitch>"
        ties = ('<tie type="stop"/>' if stop else "") + ('<tie type="start"/>' if start else "")
    return f"<note>{what}<duration>{length}</duration>{ties}<voice>1</voice><type>{name}</type>{'<dot/>' * dots}</note>"
