"""Compose melodies bar by bar over given chords, each given the one before: MIDI, piano roll, MusicXML, sound."""

import argparse
from pathlib import Path

import torch
from torch import Generator, Tensor

from lightning_gen.config.arguments import Arguments, above_zero, positive
from lightning_gen.config.loading import checkpoint_path, load_module
from lightning_gen.contracts import GenerativeModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.chains import draw_chain
from lightning_gen.files import atomic_write, write_figure, write_text
from lightning_gen.metrics.music import STATISTICS, bar_statistics, chord_tones, repeats
from lightning_gen.music.midi import LARGEST, Tune, UnusableError, midi_bytes, read_tune
from lightning_gen.music.notation import CHORDS, STEPS, empty_bars, parse_chords
from lightning_gen.music.scores import draw_score, musicxml
from lightning_gen.music.sound import font_wav, sine_wav
from lightning_gen.tasks.common.melody_page import Melody, write_melody_page
from lightning_gen.tasks.common.require import require

__all__ = ["compose", "main"]


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen compose RUN --chords "D G A D" [--bars N] [--count N] [--out NAME] [--page FILE]``."""
    options = _parser().parse_args(arguments)
    like = _tune("--like", options.like) if options.like else None
    chords = _chords(options, like)
    first = _tune("--first", options.first).bars[-1] if options.first else _silence()
    modules = [_module(run, options.checkpoint) for run in (options.run, *options.beside)]
    made = [compose(module, chords, options.count, options.seed, options.temperature, first) for module in modules]
    out = options.out or options.run / "samples" / "tune"
    names = [f"{out.name}{i}" if options.count > 1 else out.name for i in range(1, options.count + 1)]
    pieces = _pieces(options, made, chords, like)
    for melody, name in zip(made[0], names, strict=True):
        _write(out.with_name(name), melody, chords, options)
    write_figure(out.with_name(f"{out.name}.png"), draw_score(list(made[0]), chords, names))
    if options.page:
        write_melody_page(options.page, pieces, chords, options.tempo)
    print(_table(made[0], chords, first))
    print(options.page or out.with_name(f"{out.name}.png"))


def _module(run: Path, checkpoint: str) -> GenerativeModule:
    module = require(load_module(checkpoint_path(run, checkpoint)), GenerativeModule)
    if not module.spec.notation:
        raise UserError(f"{run} holds a {type(module).__name__} of images: compose wants one of melodies")
    return module


def _pieces(options: argparse.Namespace, made: list[Tensor], chords: list[int], like: Tune | None) -> list[Melody]:
    """What the page shows: the real tune first, then the melodies of every run."""
    if not options.page:
        return []
    found = [(options.like.stem, like.bars[: len(chords)])] if like else []
    for run, melodies in zip((options.run, *options.beside), made, strict=True):
        name = run.resolve().name
        found += [(f"{name} {i}" if len(melodies) > 1 else name, melody) for i, melody in enumerate(melodies, 1)]
    return [Melody(name, bars, _sound(bars, chords, options), _words(bars, chords)) for name, bars in found]


def _words(bars: Tensor, chords: list[int]) -> str:
    inside = chord_tones(bars, torch.tensor(chords[: len(bars)])).nanmean().item()
    again = repeats(bars[1:], bars[:-1]).sum().item()
    notes = bar_statistics(bars)[:, 0].mean().item()
    return f"{inside:.0%} of the notes lie in their chord; {notes:.1f} notes a bar; {again} bars repeat the one before."


def _parser() -> Arguments:
    parser = Arguments("compose", __doc__)
    parser.run()
    parser.add_argument(
        "--chords", help='one per bar, again from the beginning where short: "D G A7 Bm" (those of --like)'
    )
    parser.add_argument("--bars", type=positive, help="of a melody (as many as chords, 8 of --like)")
    parser.add_argument("--like", type=Path, metavar="FILE", help="MIDI file of a real tune: its chords are taken")
    parser.add_argument("--first", type=Path, metavar="FILE", help="MIDI file whose last bar comes before (silence)")
    parser.add_argument("--count", type=positive, default=1, help="of melodies (1)")
    parser.add_argument("--tempo", type=positive, default=120, help="quarters per minute (120)")
    parser.add_argument("--temperature", type=above_zero, default=1.0, help="scale of the randomness (1)")
    parser.seed()
    parser.add_argument("--soundfont", type=Path, metavar="FILE", help="SF2 file with instruments (sine waves)")
    beside = "another run over the same chords, on the page; may be given again"
    parser.add_argument("--beside", type=Path, metavar="RUN", action="append", default=[], help=beside)
    parser.file("page", ".html", help="a page with piano rolls and players: the tune of --like, then each run's")
    parser.add_argument("--out", type=Path, metavar="NAME", help="NAME.mid, .png, .musicxml, .wav (RUN/samples/tune)")
    return parser


def _chords(options: argparse.Namespace, like: Tune | None) -> list[int]:
    if options.chords is None and like is None:
        raise UserError('--chords is missing: want names such as "D G A7 Bm", or --like FILE, whose chords are taken')
    if options.beside and not options.page:
        raise UserError("--beside given without --page: want --page FILE.html, which shows the runs together")
    given = parse_chords(options.chords) if options.chords is not None else like.chords.tolist()  # type: ignore[union-attr]
    bars = options.bars or (len(given) if options.chords is not None else min(8, len(given)))
    if bars * options.count > 4096:
        raise UserError(f"--bars {bars} of --count {options.count} given: want 4,096 bars at most")
    if options.page and bars * options.count * (1 + len(options.beside)) > 512:
        raise UserError(f"--bars {bars} of --count {options.count} given: a page wants 512 bars at most, of all runs")
    if not 20 <= options.tempo <= 400:
        raise UserError(f"--tempo is {options.tempo}: want 20 to 400 quarters per minute")
    if like is not None and bars > len(like.bars):
        raise UserError(f"--bars is {bars}: --like has {len(like.bars)} usable bars, want as many at most")
    return [given[i % len(given)] for i in range(bars)]


def _silence() -> Tensor:
    """The bar before the first one, uint8 (16,)."""
    return empty_bars(1).flatten()


def _tune(argument: str, path: Path) -> Tune:
    try:
        with path.open("rb") as stream:
            return read_tune(stream.read(LARGEST + 1))
    except UnusableError as reason:
        raise UserError(f"{argument} is {path}: {reason}; want a melody with chords in 4/4") from reason
    except OSError as error:
        raise UserError(f"{argument} is {path}, which cannot be read ({error.strerror}): want a MIDI file") from error


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
    before = _silence() if first is None else first
    rows = torch.tensor(chords).expand(count, -1)
    return draw_chain(module, rows, before.expand(count, 1, 1, STEPS), generator, temperature)


def _write(path: Path, melody: Tensor, chords: list[int], options: argparse.Namespace) -> None:
    content = midi_bytes(melody, chords, options.tempo)
    for ending, data in ((".mid", content), (".wav", _sound(melody, chords, options))):
        with atomic_write(path.with_name(path.name + ending)) as stream:
            stream.write(data)
    write_text(path.with_name(f"{path.name}.musicxml"), musicxml(melody, chords, path.name))


def _sound(melody: Tensor, chords: list[int], options: argparse.Namespace) -> bytes:
    if options.soundfont:
        return font_wav(melody, chords, options.soundfont, options.tempo)
    return sine_wav(melody, chords, options.tempo)


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
