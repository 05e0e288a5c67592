"""Bars of melody with the chord and the bar before: from a folder of MIDI files, or drawn from a known grammar.

A batch holds ``image`` uint8 (B, 1, 1, 16), see `music.notation`; ``label``, the class of the chord; and ``previous``,
the bar before, rests where there is none.
"""

import math
import sys
import zipfile
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import final

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Generator, Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.folders import check_share, held_out
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.music.midi import LARGEST, Tune, UnusableError, read_tune
from lightning_gen.music.notation import (
    CHORDS,
    HOLD,
    LOWEST,
    PITCHES,
    REST,
    STEPS,
    SYMBOLS,
    chord_pitches,
    empty_bars,
    transposed,
)

__all__ = ["Bars", "MidiFolder", "ToyMelodies", "say_once", "tunes_by_split", "what_was_found"]

_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_ENDINGS = (".mid", ".midi")
_SAID: set[str] = set()


class Bars(MemoryImages):
    """A set of bars.

    Args:
        all_keys: the training bars in all twelve keys.
        batch_size: bars per process and batch.
        seed: of the order of the training bars.
        on_device: see `IndexedImages`.
    """

    def __init__(self, all_keys: bool = True, batch_size: int = 64, seed: int = 0, on_device: bool = True) -> None:
        super().__init__(batch_size, seed, None, on_device)
        self.all_keys = all_keys

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(1, 1, STEPS, SYMBOLS, classes=len(CHORDS), notation=True)

    @property
    def class_names(self) -> tuple[str, ...]:
        return CHORDS

    @abstractmethod
    def tunes(self) -> Mapping[Split, list[tuple[Tensor, Tensor, Tensor]]]:
        """Bars uint8 (N, 16), chords int64 (N,) and previous bars uint8 (N, 16) of each tune."""

    def load(self) -> Mapping[Split, dict[str, Column]]:
        return {split: self._columns(split, tunes) for split, tunes in self.tunes().items()}

    def _columns(self, split: Split, tunes: list[tuple[Tensor, Tensor, Tensor]]) -> dict[str, Column]:
        bars, chords, previous = (torch.cat(parts) for parts in zip(*tunes, strict=True))
        keys = range(-6, 6) if self.all_keys and split == "train" else (0,)
        moved = [(*transposed(bars, chords, key), transposed(previous, chords, key)[0]) for key in keys]
        image, label, before = (torch.cat(parts) for parts in zip(*moved, strict=True))
        return {"image": image[:, None, None], "label": label, "previous": before[:, None, None]}


@final
class MidiFolder(Bars):
    """MIDI files with a melody track and a chord track, below a folder or in a zip file. Those in 4/4 are read, bar by
    bar, see `midi.read_tune`; what is left out is counted on standard error. Splits are made by tune, before
    transposition.

    Args:
        root: folder, searched through all sub-folders, or zip file.
        share: of the tunes, for each of val and test, above 0, below 0.5.
        split_seed: each value is another cut into splits.
        all_keys: see `Bars`, as are `batch_size`, `seed` and `on_device`.

    Raises:
        UserError: there is no such place, or fewer than three usable tunes in it.
    """

    def __init__(
        self,
        root: str,
        share: float = 0.1,
        split_seed: int = 0,
        all_keys: bool = True,
        batch_size: int = 64,
        seed: int = 0,
        on_device: bool = True,
    ) -> None:
        check_share(share)
        super().__init__(all_keys, batch_size, seed, on_device)
        self.root, self.share, self.split_seed = Path(root).expanduser(), share, split_seed
        if not self.root.exists():
            raise UserError(f"data.root is {self.root}, which does not exist: want a folder or zip file of MIDI files")

    @property
    def name(self) -> str:  # type: ignore[override]
        root = self.root.resolve()
        place = root.with_suffix("") if root.suffix == ".zip" else root
        return place.parent.name if place.name in _SPLITS else place.name

    @cached_property
    def _read(self) -> dict[str, Tune]:
        found, left_out = {}, Counter[str]()
        for name, content in _files(self.root):
            try:
                found[name] = read_tune(content)
            except UnusableError as reason:
                left_out[str(reason)] += 1
        if len(found) < 3:
            raise UserError(
                f"data.root is {self.root}, with {what_was_found(found, left_out)}: want 3 tunes in 4/4 or more"
            )
        say_once(f"{self.root}: {what_was_found(found, left_out)}")
        return found

    def tunes(self) -> Mapping[Split, list[tuple[Tensor, Tensor, Tensor]]]:
        return tunes_by_split(self._read, self.share, self.split_seed)


def tunes_by_split(
    found: Mapping[str, Tune], share: float, seed: int
) -> Mapping[Split, list[tuple[Tensor, Tensor, Tensor]]]:
    """Cut tunes by name into splits, as `Bars.tunes` wants them."""
    names = sorted(found)
    places = held_out({"train": names}, share, seed)
    tunes = {split: [found[names[i]] for i in places[split].tolist()] for split in _SPLITS}
    return {split: [(tune.bars, tune.chords, tune.previous) for tune in some] for split, some in tunes.items()}


def what_was_found(found: Mapping[str, Tune], left_out: Counter[str]) -> str:
    """``403 usable tunes of 13,701 bars; 397 files left out (281 meter 6/8, ...)``."""
    bars = sum((tune.dropped for tune in found.values()), Counter[str]())
    parts = [f"{len(found)} usable tunes of {sum(len(tune.bars) for tune in found.values()):,} bars"]
    for what, counted in (("files left out", left_out), ("bars left out", bars)):
        if counted:
            reasons = ", ".join(f"{count} {reason}" for reason, count in counted.most_common(6))
            parts.append(f"{sum(counted.values())} {what} ({reasons})")
    return "; ".join(parts)


@rank_zero_only
def say_once(text: str) -> None:
    """Say what was found, once in a process."""
    if text not in _SAID:
        _SAID.add(text)
        print(f"lightning-gen: {text}", file=sys.stderr)


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all MIDI files, in order; of those larger than 4 MiB one byte more than that."""
    if root.is_dir():
        paths = sorted(
            p for p in root.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file() and not p.is_symlink()
        )
        for path in paths:
            with path.open("rb") as stream:
                yield path.relative_to(root).as_posix(), stream.read(LARGEST + 1)
        return
    try:
        with zipfile.ZipFile(root) as archive:
            for member in sorted(name for name in archive.namelist() if name.lower().endswith(_ENDINGS)):
                with archive.open(member) as stream:
                    yield member, stream.read(LARGEST + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise UserError(f"data.root is {root}: {error}; want a folder or zip file of MIDI files") from error


@final
class ToyMelodies(Bars):
    """Bars drawn from a grammar whose probabilities are known: `log_prob`. Tunes of eight bars over random triads.

    A bar repeats the one before with probability 1/4. Otherwise each eighth is a new note, a hold, or a rest: 0.75,
    0.2, 0.05 while a note sounds, 0.9, 0, 0.1 in silence. Of the 36 pitches each one of the chord is six times as
    likely as another.

    Args:
        melodies: training tunes, 1 or more; 64 more for val and 256 for test.
        drawing: seed of the tunes.
        all_keys: see `Bars`, as are `batch_size`, `seed` and `on_device`; the grammar itself has no key.
    """

    repeats = 0.25

    def __init__(
        self,
        melodies: int = 1000,
        drawing: int = 0,
        all_keys: bool = False,
        batch_size: int = 64,
        seed: int = 0,
        on_device: bool = True,
    ) -> None:
        check_counts("data", limit=1_000_000, melodies=melodies)
        super().__init__(all_keys, batch_size, seed, on_device)
        self.melodies, self.drawing = melodies, drawing

    @property
    def name(self) -> str:  # type: ignore[override]
        return "toy_melodies"

    def tunes(self) -> Mapping[Split, list[tuple[Tensor, Tensor, Tensor]]]:
        generator = Generator().manual_seed(self.drawing)
        counts: dict[Split, int] = {"test": 256, "val": 64, "train": self.melodies}
        return {split: [self._draw(count, generator)] for split, count in counts.items()}

    def _draw(self, tunes: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        before, columns = empty_bars(tunes)[:, 0, 0], []
        for _ in range(8):
            chord = torch.randint(len(CHORDS), (tunes,), generator=generator)
            again = torch.rand(tunes, generator=generator) < self.repeats
            bar = torch.where(again[:, None], before, self._draw_bar(chord, generator))
            columns.append((bar, chord, before))
            before = bar
        bars, chords, previous = (torch.stack(parts, 1).flatten(0, 1) for parts in zip(*columns, strict=True))
        return bars, chords, previous

    def _draw_bar(self, chord: Tensor, generator: Generator) -> Tensor:
        """Triads (B,) -> uint8 (B, 16), none repeated on purpose."""
        pitch_p, sounding = _pitch_probabilities(chord), torch.zeros(len(chord), dtype=torch.bool)
        eighths = []
        for _ in range(STEPS // 2):
            kind = _kind_probabilities(sounding).multinomial(1, generator=generator)[:, 0]
            pitch = pitch_p.multinomial(1, generator=generator)[:, 0]
            symbol = torch.where(kind == 0, pitch, torch.where(kind == 1, HOLD, REST))
            sounding = symbol != REST
            eighths += [symbol, torch.where(sounding, HOLD, REST)]
        return torch.stack(eighths, 1).to(torch.uint8)

    def log_prob(self, bars: Tensor, chord: Tensor, previous: Tensor) -> Tensor:
        """log p(bar given chord and previous bar), nats, float64 (B,).

        Args:
            bars: uint8 (B, 1, 1, 16).
            chord: int64 (B,).
            previous: as `bars`.
        """
        rows, before = bars.flatten(1).long(), previous.flatten(1).long()
        pitch_p, sounding = _pitch_probabilities(chord), torch.zeros(len(chord), dtype=torch.bool)
        total = torch.zeros(len(chord), dtype=torch.float64)
        for eighth in range(STEPS // 2):
            symbol, second = rows[:, 2 * eighth], rows[:, 2 * eighth + 1]
            kind = torch.where(symbol < PITCHES, 0, torch.where(symbol == HOLD, 1, 2))
            total += _kind_probabilities(sounding).gather(1, kind[:, None])[:, 0].log()
            note = pitch_p.gather(1, symbol.clamp(max=PITCHES - 1)[:, None])[:, 0].log()
            total += torch.where(kind == 0, note, 0.0)
            sounding = symbol != REST
            total += torch.where(second == torch.where(sounding, HOLD, REST), 0.0, -math.inf)
        same = torch.where((rows == before).all(1), math.log(self.repeats), -math.inf)
        return torch.logaddexp(total + math.log1p(-self.repeats), same.double())


def _kind_probabilities(sounding: Tensor) -> Tensor:
    """bool (B,) -> probabilities of a new note, a hold and a rest, float64 (B, 3)."""
    both = torch.tensor([[0.9, 0.0, 0.1], [0.75, 0.2, 0.05]], dtype=torch.float64)
    return both[sounding.long()]


def _pitch_probabilities(chord: Tensor) -> Tensor:
    """Triads (B,) -> probabilities of the pitches, float64 (B, 36)."""
    classes = (torch.arange(PITCHES) + LOWEST) % 12
    weights = torch.where(chord_pitches(chord)[:, classes], 6.0, 1.0).double()
    return weights / weights.sum(1, keepdim=True)
