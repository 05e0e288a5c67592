"""Compose melodies bar by bar over given chords, each given the one before: MIDI, piano roll, MusicXML, sound."""

import argparse
from pathlib import Path

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.config.arguments import Arguments, fraction, positive
from lightning_gen.config.loading import checkpoint_path, load_module
from lightning_gen.contracts import GenerativeModule
from lightning_gen.errors import UserError
from lightning_gen.files import atomic_write, write_figure, write_text
from lightning_gen.metrics.music import STATISTICS, bar_statistics, chord_tones, repeats
from lightning_gen.music.midi import LARGEST, UnusableError, midi_bytes, read_tune
from lightning_gen.music.notation import CHORDS, STEPS, empty_bars, parse_chords
from lightning_gen.music.scores import draw_score, musicxml, wav_bytes
from lightning_gen.tasks.common.require import require

__all__ = ["compose", "main"]


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen compose RUN --chords "D G A D" [--bars N] [--first FILE] [--count N] [--out NAME]``."""
    options = _parser().parse_args(arguments)
    chords = _chords(options)
    first = _first(options.first)
    module = require(load_module(checkpoint_path(options.run, options.checkpoint)), GenerativeModule)
    if not module.spec.notation:
        raise UserError(f"{options.run} holds a {type(module).__name__} of images: compose wants one of melodies")
    melodies = compose(module, chords, options.count, options.seed, options.temperature, first)
    out = options.out or options.run / "samples" / "tune"
    names = [f"{out.name}{i}" if options.count > 1 else out.name for i in range(1, options.count + 1)]
    for melody, name in zip(melodies, names, strict=True):
        _write(out.with_name(name), melody, chords, options)
    write_figure(out.with_name(f"{out.name}.png"), draw_score(list(melodies), chords, names))
    print(_table(melodies, chords, first))
    print(out.with_name(f"{out.name}.png"))


def _parser() -> Arguments:
    parser = Arguments("compose", __doc__)
    parser.run()
    parser.add_argument(
        "--chords", required=True, help='one per bar, again from the beginning where short: "D G A7 Bm"'
    )
    parser.add_argument("--bars", type=positive, help="of a melody (as many as chords)")
    parser.add_argument("--first", type=Path, metavar="FILE", help="MIDI file whose last bar comes before (silence)")
    parser.add_argument("--count", type=positive, default=1, help="of melodies (1)")
    parser.add_argument("--tempo", type=positive, default=120, help="quarters per minute (120)")
    parser.add_argument("--temperature", type=fraction, default=1.0, help="scale of the randomness (1)")
    parser.seed()
    parser.add_argument("--out", type=Path, metavar="NAME", help="NAME.mid, .png, .musicxml, .wav (RUN/samples/tune)")
    return parser


def _chords(options: argparse.Namespace) -> list[int]:
    given = parse_chords(options.chords)
    bars = options.bars or len(given)
    if bars * options.count > 4096:
        raise UserError(f"--bars {bars} of --count {options.count} given: want 4,096 bars at most")
    if not 20 <= options.tempo <= 400:
        raise UserError(f"--tempo is {options.tempo}: want 20 to 400 quarters per minute")
    return [given[i % len(given)] for i in range(bars)]


def _first(path: Path | None) -> Tensor:
    """The bar before the first one, uint8 (16,)."""
    if path is None:
        return empty_bars(1).flatten()
    try:
        with path.open("rb") as stream:
            return read_tune(stream.read(LARGEST + 1)).bars[-1]
    except UnusableError as reason:
        raise UserError(f"--first is {path}: {reason}; want a melody with chords in 4/4") from reason
    except OSError as error:
        raise UserError(f"--first is {path}, which cannot be read ({error.strerror}): want a MIDI file") from error


def compose(
    module: GenerativeModule,
    chords: list[int],
    count: int = 1,
    seed: int = 0,
    temperature: float = 1.0,
    first: Tensor | None = None,
) -> Tensor:
    """Draw melodies bar by bar.

    Args:
        module: of bars, conditioned on the chord, or on the chord and the bar before.
        chords: classes of triads, one per bar.
        count: of melodies.
        seed: of all randomness.
        temperature: see `GenerativeModule.sample`.
        first: uint8 (16,), the bar before the first (None: rests).

    Returns:
        uint8 (count, bars, 16).
    """
    generator = Generator().manual_seed(seed)
    before = empty_bars(1).flatten() if first is None else first
    bars = [before.expand(count, 1, 1, STEPS)]  # each uint8 (count, 1, 1, 16)
    for chord in chords:
        given: Batch = {"label": torch.full((count,), chord), "previous": bars[-1]}
        bars.append(module.sample(count, given, temperature, generator).cpu())
    return torch.cat(bars[1:], 1)[:, :, 0]


def _write(path: Path, melody: Tensor, chords: list[int], options: argparse.Namespace) -> None:
    content = midi_bytes(melody, chords, options.tempo)
    sound = wav_bytes(content)
    for ending, data in ((".mid", content), (".wav", sound)):
        with atomic_write(path.with_name(path.name + ending)) as stream:
            stream.write(data)
    write_text(path.with_name(f"{path.name}.musicxml"), musicxml(melody, chords, path.name))


def _table(melodies: Tensor, chords: list[int], first: Tensor) -> str:
    """One line of statistics per bar of the chains, means over the melodies."""
    lines = [f"{'bar':>4} {'chord':>6} {'in chord':>9} {'repeats':>8}" + "".join(f"{name:>10}" for name in STATISTICS)]
    before = first.expand(len(melodies), STEPS)
    for i, chord in enumerate(chords):
        bars = melodies[:, i]
        inside = chord_tones(bars, torch.full((len(bars),), chord)).nanmean().item()
        same, rest = repeats(bars, before).float().mean().item(), bar_statistics(bars).mean(0).tolist()
        lines.append(
            f"{i + 1:>4} {CHORDS[chord]:>6} {inside:>9.2f} {same:>8.2f}" + "".join(f"{x:>10.2f}" for x in rest)
        )
        before = bars
    return "\n".join(lines)
