"""Bars of tunes in files: read once, kept in the cache, cut into splits by tune, before they are moved to other keys.

TuneFiles       what such sets share
MidiFolder      MIDI files with a melody track and a chord track
"""

import hashlib
import inspect
import json
import sys
import zipfile
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, final, get_args

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from lightning_gen.cache import cache_path, read_cached, write_cached
from lightning_gen.contracts import Split
from lightning_gen.data.bars import Bars
from lightning_gen.data.folders import check_share, held_out
from lightning_gen.errors import UserError
from lightning_gen.music import chorales, midi, notation
from lightning_gen.music.midi import LARGEST, Tune, UnusableError, read_tune

__all__ = ["MidiFolder", "TuneFiles"]

_ENDINGS = (".mid", ".midi")
_SAID: set[str] = set()


class TuneFiles(Bars):
    """Bars of tunes that are read from files, some of which may hold none: they are counted on standard error.

    Args:
        share: of the tunes, for each of val and test, above 0, below 0.5.
        split_seed: each value is another cut into splits; the other arguments are those of `Bars`.

    Raises:
        UserError: there are fewer than three usable tunes.
    """

    #: that reads the files, for the name in the cache
    library: ClassVar[str]

    def __init__(self, share: float = 0.1, split_seed: int = 0, **kwargs: Any) -> None:
        check_share(share)
        super().__init__(**kwargs)
        self.share, self.split_seed = share, split_seed

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the files are, as an argument and its value."""

    @abstractmethod
    def files(self) -> Iterator[tuple[str, bytes]]:
        """Give names and contents, in order."""

    @abstractmethod
    def read(self, name: str, content: bytes) -> Tune:
        """Read a file; raise `UnusableError` where it holds no tune."""

    @cached_property
    def _tunes(self) -> dict[str, Tune]:
        path = cache_path("tunes", self._identity())
        kept = read_cached(path)
        found, left_out = self._read_all() if kept is None else _unpacked(kept)
        words = _what_was_found(found, left_out)
        if len(found) < 3:
            raise UserError(f"{self.place}, with {words}: want 3 tunes in 4/4 or more")
        if kept is None:
            write_cached(path, _packed(found, left_out))
        _say_once(f"{self.place}, with {words}")
        return found

    def _identity(self) -> dict[str, str]:
        """All that the tunes depend on: the files, and what reads them."""
        files, code = hashlib.sha256(), hashlib.sha256()
        for name, content in self.files():
            files.update(f"{name} {len(content)} ".encode() + content)
        for module in (chorales, midi, notation):
            code.update(inspect.getsource(module).encode())
        try:
            version = metadata.version(self.library)
        except metadata.PackageNotFoundError:
            version = "none"
        return {"files": files.hexdigest(), "code": code.hexdigest(), "library": f"{self.library} {version}"}

    def _read_all(self) -> tuple[dict[str, Tune], Counter[str]]:
        found, left_out = {}, Counter[str]()
        for name, content in self.files():
            try:
                found[name] = self.read(name, content)
            except UnusableError as reason:
                left_out[str(reason)] += 1
        return found, left_out

    def tunes(self) -> Mapping[Split, list[tuple[Tensor, Tensor, Tensor]]]:
        found = self._tunes
        names = sorted(found)
        places = held_out({"train": names}, self.share, self.split_seed)
        tunes: dict[Split, list[Tune]] = {
            split: [found[names[i]] for i in places[split].tolist()] for split in get_args(Split)
        }
        return {split: [(tune.bars, tune.chords, tune.previous) for tune in some] for split, some in tunes.items()}


def _packed(found: Mapping[str, Tune], left_out: Counter[str]) -> dict[str, Tensor]:
    """Turn what was found into tensors: all bars one after the other, and the rest as JSON."""
    tunes = list(found.values())
    about = {
        "names": list(found),
        "bars": [len(tune.bars) for tune in tunes],
        "dropped": [tune.dropped for tune in tunes],
        "left_out": left_out,
    }
    columns = {name: torch.cat([getattr(tune, name) for tune in tunes]) for name in ("bars", "chords", "previous")}
    return {"about": torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8), **columns}


def _unpacked(kept: Mapping[str, Tensor]) -> tuple[dict[str, Tune], Counter[str]]:
    """Return what `_packed` was given."""
    about = json.loads(kept["about"].numpy().tobytes())
    columns = (kept[name].split(about["bars"]) for name in ("bars", "chords", "previous"))
    tunes = map(Tune, *columns, map(Counter, about["dropped"]))
    return dict(zip(about["names"], tunes, strict=True)), Counter(about["left_out"])


def _what_was_found(found: Mapping[str, Tune], left_out: Counter[str]) -> str:
    """``403 usable tunes of 13,701 bars; 397 files left out (281 meter 6/8, ...)``."""
    bars = sum((tune.dropped for tune in found.values()), Counter[str]())
    parts = [f"{len(found)} usable tunes of {sum(len(tune.bars) for tune in found.values()):,} bars"]
    for what, counted in (("files left out", left_out), ("bars left out", bars)):
        if counted:
            reasons = ", ".join(f"{count} {reason}" for reason, count in counted.most_common(6))
            parts.append(f"{sum(counted.values())} {what} ({reasons})")
    return "; ".join(parts)


@rank_zero_only
def _say_once(text: str) -> None:
    """Say what was found, once in a process."""
    if text not in _SAID:
        _SAID.add(text)
        print(f"lightning-gen: {text}", file=sys.stderr)


@final
class MidiFolder(TuneFiles):
    """MIDI files with a melody track and a chord track, below a folder or in a zip file. Those in 4/4 are read, bar by
    bar, see `midi.read_tune`.

    Args:
        root: folder, searched through all sub-folders, or zip file; the other arguments are those of `TuneFiles`.

    Raises:
        UserError: there is no such place.
    """

    library = "mido"

    def __init__(self, root: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root = Path(root).expanduser()
        if not self.root.exists():
            raise UserError(f"data.root is {self.root}, which does not exist: want a folder or zip file of MIDI files")

    @property
    def name(self) -> str:  # type: ignore[override]
        root = self.root.resolve()
        place = root.with_suffix("") if root.suffix == ".zip" else root
        return place.parent.name if place.name in get_args(Split) else place.name

    @property
    def place(self) -> str:
        return f"data.root is {self.root}"

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Give all MIDI files in order; of those larger than 4 MiB one byte more than that."""
        if self.root.is_dir():
            places = (p for p in self.root.rglob("*") if p.suffix.lower() in _ENDINGS)
            for path in sorted(p for p in places if p.is_file() and not p.is_symlink()):
                with path.open("rb") as stream:
                    yield path.relative_to(self.root).as_posix(), stream.read(LARGEST + 1)
            return
        try:
            with zipfile.ZipFile(self.root) as archive:
                for member in sorted(name for name in archive.namelist() if name.lower().endswith(_ENDINGS)):
                    with archive.open(member) as stream:
                        yield member, stream.read(LARGEST + 1)
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
            raise UserError(f"data.root is {self.root}: {error}; want a folder or zip file of MIDI files") from error

    def read(self, name: str, content: bytes) -> Tune:
        return read_tune(content)
