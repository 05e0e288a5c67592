"""Bach's chorales as tunes: the soprano over the chords of all voices, from the corpus that music21 ships."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from lightning_gen.errors import UserError
from lightning_gen.music.midi import Tune, UnusableError, cut_tune

__all__ = ["chorale_paths", "read_chorale"]

_SIXTEENTHS = Fraction(4)  # of a quarter
_QUARTERS = 4  # of a bar


def chorale_paths() -> list[Path]:
    """The files of the corpus, in order.

    Raises:
        UserError: music21 is not installed.
    """
    return sorted(Path(path) for path in _library().corpus.getComposer("bach") if Path(path).suffix in (".mxl", ".xml"))


def read_chorale(path: Path) -> Tune:
    """Read the highest voice with the triads that all voices sound at the downbeats.

    An upbeat is the end of a bar that begins before the piece.

    Raises:
        UnusableError: it has another meter than 4/4, fewer than three voices, or no usable bar.
    """
    # The corpus keeps pickles of what it has parsed: neither read nor written here.
    score = _library().converter.parse(str(path), forceSource=True, storePickle=False)
    meters = {meter.ratioString for meter in score.recurse().getElementsByClass("TimeSignature")}
    if meters != {"4/4"}:
        raise UnusableError(f"meter {' and '.join(sorted(meters)) or 'unknown'}")
    parts = list(score.parts)
    if len(parts) < 3:
        raise UnusableError("fewer than three voices")
    late = (-_upbeat(parts[0])) % _QUARTERS
    voices = [list(_notes(part, late)) for part in parts]
    voices.sort(key=lambda notes: -sum(pitch for pitch, _, _ in notes) / max(1, len(notes)))
    melody = voices[0]
    if not melody:
        raise UnusableError("no notes")
    count = -(-max(end for _, _, end in melody) // _QUARTERS)
    return cut_tune(melody, [note for notes in voices for note in notes], _SIXTEENTHS, int(count))


def _library() -> Any:
    try:
        import music21
    except ImportError as error:
        what = "data.Chorales needs music21, which is not installed"
        raise UserError(f"{what}: want pip install 'lightning-gen[chorales]'") from error
    return music21


def _upbeat(part: Any) -> Fraction:
    """Quarters before the first whole bar."""
    first = next(iter(part.getElementsByClass("Measure")), None)
    if first is None:
        raise UnusableError("no bars")
    length = Fraction(first.duration.quarterLength)
    return length if length < _QUARTERS else Fraction(0)


def _notes(part: Any, late: Fraction) -> Iterator[tuple[int, Any, Any]]:
    """Pitch, start and end of the notes of a voice in quarters; of a chord the highest one."""
    for note in part.stripTies().flatten().notes:
        start = Fraction(note.offset) + late
        if note.duration.isGrace:
            continue
        yield max(pitch.midi for pitch in note.pitches), start, start + Fraction(note.duration.quarterLength)
