"""Encoded pictures by number: in a folder, in a zip file, or in several of them. See `layout` for the splits."""

import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import final

from lightning_gen.contracts import Split
from lightning_gen.errors import UserError

__all__ = ["WANTED", "Folder", "Joined", "Part", "Source", "Zip", "tree"]

_ENDINGS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)
#: how the content of a picture begins, by which files without an ending are recognised
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"P5", b"P6")
#: what to say where there are no pictures
WANTED = "want a folder with pictures (png, jpg, bmp, gif, webp, tif, ppm, pgm), or a zip file of them"
#: contents of a folder are read for the fingerprint where they fill at most this many bytes
_READ_AT_MOST = 4 << 30
#: bytes of one picture file
_LARGEST = 1 << 30
#: times that one folder is read, under different names, where links lead to it
_MOST_LINKS = 64


class Source(ABC):
    """Encoded pictures by number."""

    #: one per picture, without doubles, and fit to be shown
    names: Sequence[str]
    #: number of files that are no pictures, by ending in small letters; without hidden ones
    left_out: Mapping[str, int] = {}

    @abstractmethod
    def read(self, index: int) -> bytes:
        """Read the content of picture `index`; safe to call from several threads. Raises `UserError`, naming it."""

    @abstractmethod
    def checksums(self) -> Iterator[str]:
        """Per picture, what tells its content from another's."""

    def below(self, prefix: str) -> "Source":
        """Return the pictures whose names begin with `prefix`, a folder with its ``/``, under names without it."""
        return Part(self, prefix)


@final
class Folder(Source):
    """Picture files below a folder, hidden ones left out.

    Args:
        root: an existing folder.
        files: paths below it (None: all picture files there).
    """

    def __init__(self, root: Path, files: Sequence[str] | None = None) -> None:
        self.root = root
        left_out: Counter[str] = Counter()
        self.left_out = left_out
        self.files = sorted(_walk(root, left_out)) if files is None else files
        # A name may hold bytes that are no UTF-8: they are shown, and hashed, as \xe9.
        self.names = [os.fsencode(file).decode("utf-8", "backslashreplace") for file in self.files]

    def read(self, index: int) -> bytes:
        path = self.root / self.files[index]
        try:
            if path.stat().st_size > _LARGEST:
                raise UserError(f"{self.root / self.names[index]} is too large: want a picture of 1 GiB at most")
            return path.read_bytes()
        except OSError as error:
            shown = self.root / self.names[index]
            raise UserError(f"{shown} cannot be read ({error.strerror}): want a picture") from error

    def checksums(self) -> Iterator[str]:
        sizes = [(self.root / file).stat().st_size for file in self.files]
        if sum(sizes) > _READ_AT_MOST:
            return map(str, sizes)
        return (f"{size} {zlib.crc32(self.read(i)):08x}" for i, size in enumerate(sizes))

    def below(self, prefix: str) -> "Folder":
        chosen = [file for file, name in zip(self.files, self.names, strict=True) if name.startswith(prefix)]
        folder = "/".join(chosen[0].split("/")[: prefix.count("/")]) if chosen else prefix
        return Folder(self.root / folder, [file[len(folder) + 1 :] for file in chosen])


@final
class Zip(Source):
    """Pictures in a zip file, never unpacked to disk.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        left_out: Counter[str] = Counter()
        self.left_out = left_out
        try:
            self.file = zipfile.ZipFile(path)
            members = {_forward(name): name for name in self.file.namelist() if not name.endswith("/")}
            kept = {name: member for name, member in members.items() if self._is_picture(name, member, left_out)}
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UserError(f"data.root is {path}: {error}; want a zip file of pictures") from error
        self.names = sorted(kept)
        self.members = [kept[name] for name in self.names]

    def _is_picture(self, name: str, member: str, left_out: Counter[str]) -> bool:
        def begin() -> bytes:
            try:
                with self.file.open(member) as stream:
                    return stream.read(16)
            except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError):
                return b""

        picture = _is_picture(name) or (_has_no_ending(name) and _begins_like_a_picture(begin()))
        _count(name, picture, left_out)
        return picture

    def read(self, index: int) -> bytes:
        name, member = self.names[index], self.members[index]
        try:
            if self.file.getinfo(member).file_size > _LARGEST:
                raise UserError(f"{self.path}: {name} is too large: want a picture of 1 GiB at most")
            return self.file.read(member)
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError) as error:
            raise UserError(f"{self.path}: {name} cannot be read ({error}): want a picture") from error

    def checksums(self) -> Iterator[str]:
        infos = (self.file.getinfo(member) for member in self.members)
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

    def checksums(self) -> Iterator[str]:
        checksums = list(self.source.checksums())
        return (checksums[i] for i in self.indices)


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

    def checksums(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.checksums()


def tree(root: Path) -> Source:
    """Return the pictures of a folder, searched through all its sub-folders, or of a zip file; there may be none.

    Raises:
        UserError: there is no such folder or file, or it cannot be read.
    """
    if not root.exists():
        raise UserError(f"data.root is {root}, which does not exist: {WANTED}")
    if not root.is_dir() and not root.is_file():
        raise UserError(f"data.root is {root}, no ordinary file: {WANTED}")
    return Folder(root) if root.is_dir() else Zip(root)


def _walk(root: Path, left_out: Counter[str]) -> Iterator[str]:
    """Yield the paths of the picture files below `root`, ``/`` between folders. A link that leads in a circle is cut.

    Raises:
        UserError: a link leads out of `root`, to another place of this machine; or links lead to one folder again and
            again.
    """
    top, visits = os.path.realpath(root), Counter[str]()
    for folder, inner, files in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        _check_inside(folder, here, top)
        base = Path(folder).relative_to(root)
        if here in {os.path.realpath(root / parent) for parent in base.parents}:
            inner.clear()
            continue
        visits[here] += 1
        if visits[here] > _MOST_LINKS:
            raise UserError(f"data.root holds more than {_MOST_LINKS} ways to {here}: want fewer links to one folder")
        inner[:] = [name for name in inner if not _is_hidden(name)]
        for file in files:
            name, path = file if base == Path() else f"{base.as_posix()}/{file}", os.path.join(folder, file)
            picture = _is_picture(name) or (_has_no_ending(name) and _begins_like_a_picture(_begin(path)))
            # A pipe or a device never comes to an end.
            picture = picture and (os.path.isfile(path) or not os.path.exists(path))
            _count(name, picture, left_out)
            if picture:
                _check_inside(path, None, top)
                yield name


def _check_inside(path: str, real: str | None, top: str) -> None:
    """Raise where `path` is a link that leads out of `top`; `real` is where it leads, None: to be found out."""
    if real is None:
        real = os.path.realpath(path) if os.path.islink(path) else os.path.join(top, "")
    if real != top and not real.startswith(os.path.join(top, "")):
        raise UserError(f"data.root holds the link {path}, which leads out of it to {real}: want the pictures there")


def _begin(path: str) -> bytes:
    """Read the first bytes of an ordinary file that is no link; else return none."""
    if os.path.islink(path) or not os.path.isfile(path):
        return b""
    try:
        with open(path, "rb") as stream:
            return stream.read(16)
    except OSError:
        return b""


def _begins_like_a_picture(content: bytes) -> bool:
    return content.startswith(_BEGINNINGS) or (content[:4], content[8:12]) == (b"RIFF", b"WEBP")


def _forward(name: str) -> str:
    """A member's name with ``/`` between folders, where a program of Windows wrote the other stroke."""
    return name if "/" in name else name.replace("\\", "/")


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _has_no_ending(name: str) -> bool:
    return not _is_hidden(name) and not os.path.splitext(name)[1]


def _is_picture(name: str) -> bool:
    return not _is_hidden(name) and os.path.splitext(name)[1].lower() in _ENDINGS


def _count(name: str, picture: bool, left_out: Counter[str]) -> None:
    if not picture and not _is_hidden(name):
        left_out[os.path.splitext(name)[1].lower() or "no ending"] += 1
