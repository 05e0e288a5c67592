"""Encoded pictures by number: in a folder, in a zip file, or in several of them.

Source      names, contents, and a mark of each content for the fingerprint
tree        the pictures of a folder or of a zip file
splits      the trees of train, val and test below one root, where it has them
"""

import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import final

from lightning_gen.contracts import Split
from lightning_gen.errors import UserError

__all__ = ["Folder", "Joined", "Part", "Source", "Zip", "splits", "tree"]

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_WANTED = "want a folder with pictures (png, jpg, bmp, gif, webp, tif, ppm, pgm), or a zip file of them"
_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
#: contents of a folder are read for the fingerprint where they fill at most this many bytes
_READ_AT_MOST = 4 << 30


class Source(ABC):
    """Encoded pictures by number."""

    #: one per picture, without doubles
    names: Sequence[str]

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The content of picture `index`; safe to call from several threads. Raises `UserError`, naming it."""

    @abstractmethod
    def marks(self) -> Iterator[str]:
        """Per picture, what tells its content from another's."""


@final
class Folder(Source):
    """Picture files below a folder, hidden ones left out.

    Args:
        root: an existing folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = sorted(_walk(root))

    def read(self, index: int) -> bytes:
        path = self.root / self.names[index]
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): want a picture") from error

    def marks(self) -> Iterator[str]:
        sizes = [(self.root / name).stat().st_size for name in self.names]
        if sum(sizes) > _READ_AT_MOST:
            return map(str, sizes)
        return (f"{size} {zlib.crc32(self.read(i)):08x}" for i, size in enumerate(sizes))


@final
class Zip(Source):
    """Pictures in a zip file, never unpacked to disk.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f"data.root is {path}: {error}; want a zip file of pictures") from error
        self.names = sorted({name for name in self.file.namelist() if _is_picture(name)})

    def read(self, index: int) -> bytes:
        name = self.names[index]
        try:
            return self.file.read(name)
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError) as error:
            raise UserError(f"{self.path}: {name} cannot be read ({error}): want a picture") from error

    def marks(self) -> Iterator[str]:
        infos = (self.file.getinfo(name) for name in self.names)
        return (f"{info.file_size} {info.CRC:08x}" for info in infos)


@final
class Part(Source):
    """Some pictures of a source, under names without their common beginning.

    Args:
        source: of the pictures.
        prefix: beginning of the names of those that count.
    """

    def __init__(self, source: Source, prefix: str) -> None:
        self.source = source
        self.indices = [i for i, name in enumerate(source.names) if name.startswith(prefix)]
        self.names = [source.names[i][len(prefix) :] for i in self.indices]

    def read(self, index: int) -> bytes:
        return self.source.read(self.indices[index])

    def marks(self) -> Iterator[str]:
        marks = list(self.source.marks())
        return (marks[i] for i in self.indices)


@final
class Joined(Source):
    """Several sources, one after the other.

    Args:
        parts: by the folder that goes before their names.
    """

    def __init__(self, parts: Mapping[Split, Source]) -> None:
        self.parts = list(parts.values())
        self.ends = list(accumulate(len(part.names) for part in self.parts))
        self.names = [f"{folder}/{name}" for folder, part in parts.items() for name in part.names]

    def read(self, index: int) -> bytes:
        part = bisect_right(self.ends, index)
        return self.parts[part].read(index - (self.ends[part - 1] if part else 0))

    def marks(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.marks()


def tree(root: Path) -> Source:
    """The pictures of a folder, searched through all its sub-folders, or of a zip file.

    Raises:
        UserError: there is no such folder or file, or no picture in it.
    """
    if not root.exists():
        raise UserError(f"data.root is {root}, which does not exist: {_WANTED}")
    source = Folder(root) if root.is_dir() else Zip(root)
    if not source.names:
        raise UserError(f"data.root is {root}: {_WANTED}")
    return source


def splits(root: Path) -> Mapping[Split, Source]:
    """What `root` holds as ``train``, ``val`` and ``test``: sub-folders, or zip files beside each other. Where it has
    no ``train``, all its pictures are ``train``.

    Raises:
        UserError: see `tree`.
    """
    if root.is_dir():
        places = {split: _first(root, names) for split, names in _FOLDERS.items()}
        found = {split: tree(place) for split, place in places.items() if place}
        return found if "train" in found else {"train": tree(root)}
    whole = tree(root)
    parts = ((split, Part(whole, f"{name}/")) for split, names in _FOLDERS.items() for name in names)
    found = {split: part for split, part in parts if part.names}
    return found if "train" in found else {"train": whole}


def _first(root: Path, names: Sequence[str]) -> Path | None:
    places = [place for name in names for place in (root / name, root / f"{name}.zip")]
    return next((p for p in places if p.is_dir() or (p.suffix == ".zip" and p.is_file())), None)


def _walk(root: Path) -> Iterator[str]:
    """Names of the picture files below `root`, ``/`` between folders. A link that leads in a circle is cut.

    Raises:
        UserError: a link leads out of `root`, to another place of this machine.
    """
    top = os.path.realpath(root)
    for folder, inner, files in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        _check_inside(folder, here, top)
        base = Path(folder).relative_to(root)
        if here in {os.path.realpath(root / parent) for parent in base.parents}:
            inner.clear()
            continue
        for file in files:
            name = file if base == Path() else f"{base.as_posix()}/{file}"
            if _is_picture(name):
                _check_inside(os.path.join(folder, file), None, top)
                yield name


def _check_inside(path: str, real: str | None, top: str) -> None:
    """Raise where `path` is a link that leads out of `top`; `real` is where it leads, None: to be found out."""
    if real is None:
        real = os.path.realpath(path) if os.path.islink(path) else os.path.join(top, "")
    if real != top and not real.startswith(os.path.join(top, "")):
        raise UserError(f"data.root holds the link {path}, which leads out of it to {real}: want the pictures there")


def _is_picture(name: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return not hidden and name.lower().endswith(_ENDINGS)
