"""A page of melodies over the same chords, to look at and to listen to: one HTML file that needs nothing else."""

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from lightning_gen.files import data_uri, write_text
from lightning_gen.music.midi import midi_bytes
from lightning_gen.music.notation import CHORDS
from lightning_gen.music.scores import draw_score

__all__ = ["Melody", "write_melody_page"]

_STYLE = """body{font:15px system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em}
figure{margin:0 0 2em}img{max-width:100%;height:auto;display:block}audio{width:min(100%,480px);vertical-align:middle}
h2{font-size:1.05em;margin:0 0 .3em}a{margin-left:1em}.quiet{color:#666}"""


class Melody(NamedTuple):
    """A melody uint8 (N, 16) by a name, its sound as a WAV file, and one line about it."""

    name: str
    bars: Tensor
    sound: bytes
    about: str


def write_melody_page(path: Path, melodies: Sequence[Melody], chords: Sequence[int], tempo: int) -> None:
    """Write melodies over the same N chords: of each the piano roll, a player, and the MIDI file to keep."""
    names = " ".join(CHORDS[chord] for chord in chords)
    figures = "".join(_figure(melody, chords, tempo) for melody in melodies)
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    head = f'<meta charset=utf-8><meta http-equiv="Content-Security-Policy" content="{policy}">'
    head += f"<title>Melodies over {escape(names)}</title><style>{_STYLE}</style>"
    intro = f'<h1>Melodies</h1><p class="quiet">{len(chords)} bars over {escape(names)}, {tempo} quarters a minute.</p>'
    write_text(path, f'<!doctype html><html lang="en">{head}{intro}{figures}</html>\n')


def _figure(melody: Melody, chords: Sequence[int], tempo: int) -> str:
    name, alone = escape(melody.name, quote=True), escape(f"{Path(melody.name).name}.mid", quote=True)
    picture = data_uri("image/png", _roll(melody, chords))
    sound = data_uri("audio/wav", melody.sound)
    score = data_uri("audio/midi", midi_bytes(melody.bars, chords, tempo))
    player = f'<audio controls preload="metadata" src="{sound}" aria-label="{name}"></audio>'
    keep = f'<a href="{score}" download="{alone}">MIDI</a>'
    about = f'<figcaption class="quiet">{escape(melody.about)}</figcaption>'
    return f'<figure><h2>{name}</h2><img src="{picture}" alt="Piano roll of {name}">{player}{keep}{about}</figure>'


def _roll(melody: Melody, chords: Sequence[int]) -> bytes:
    stream = io.BytesIO()
    draw_score([melody.bars], chords, [""]).savefig(stream, format="png", dpi=80)
    return stream.getvalue()
