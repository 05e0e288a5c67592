"""Captions beside picture files: where they lie, and which belongs to which picture.

CaptionTable        a CSV file, a row for each caption: image, caption (Flickr8k's captions.txt, flickr64)
CaptionTokens       Flickr8k.token.txt: ``name.jpg#0<TAB>caption``
CaptionPerPicture   a text file for each picture, a line for each caption (CUB with text_c10, sets of one's own)
CocoCaptions        COCO's annotations/captions_*.json
"""

import csv
import io
import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import final

from lightning_gen.errors import UserError

__all__ = ["CaptionFiles", "CaptionPerPicture", "CaptionTable", "CaptionTokens", "CocoCaptions", "captions_of"]

#: bytes of one file of captions
_LARGEST = 1 << 30


class CaptionFiles(ABC):
    """The captions of a folder or zip file."""

    @abstractmethod
    def read(self, root: Path) -> dict[str, list[str]]:
        """Captions by name of picture, with or without its folders and its ending.

        Raises:
            UserError: there is no such file, or it cannot be understood.
        """


def _texts(root: Path, ending: str) -> Iterator[tuple[str, str]]:
    """Yield names below `root`, a folder or zip file, that end so, with their content."""
    if root.is_dir():
        for path in sorted(root.rglob(f"*{ending}")):
            name = path.relative_to(root).as_posix()
            inside = path.resolve().is_relative_to(root.resolve())  # a link may lead to any file of the machine
            if path.is_file() and inside and not any(part.startswith(".") for part in name.split("/")):
                yield name, _decoded(path.read_bytes() if path.stat().st_size <= _LARGEST else None, path)
        return
    try:
        with zipfile.ZipFile(root) as archive:
            for info in sorted(archive.infolist(), key=lambda info: info.filename):
                if info.filename.endswith(ending) and not info.filename.startswith("__MACOSX"):
                    content = archive.read(info) if info.file_size <= _LARGEST else None
                    yield info.filename, _decoded(content, f"{root}: {info.filename}")
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"data.root is {root}: {error}; want a folder, or a zip file") from error


def _decoded(content: bytes | None, where: object) -> str:
    if content is None:
        raise UserError(f"{where} is too large: want a file of captions of 1 GiB at most")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is no UTF-8 text: want captions in UTF-8") from error


def _only(root: Path, file: str) -> str:
    """Return the content of the one file of this name, in whatever folder."""
    found = [(name, text) for name, text in _texts(root, PurePosixPath(file).name) if f"/{name}".endswith(f"/{file}")]
    if len(found) != 1:
        listed = " and ".join(name for name, _ in found[:3]) or "no such file"
        raise UserError(f"data.root is {root}, which holds {listed}: want one file {file} with the captions")
    return found[0][1]


def _one_line(text: str) -> str:
    """Make one line of a caption: lines separate the captions of a picture."""
    return " ".join(text.split())


@final
class CaptionTable(CaptionFiles):
    """A CSV file with columns of names and captions, one caption a row; a picture may have several rows.

    Args:
        file: name of the file, in whatever folder.
        image: name of the column of pictures.
        caption: name of the column of captions.
        separator: between columns.
    """

    def __init__(
        self, file: str = "captions.csv", image: str = "image", caption: str = "caption", separator: str = ","
    ) -> None:
        if len(separator) != 1:
            raise UserError(f"captions.separator is {separator!r}: want one character")
        self.file, self.image, self.caption, self.separator = file, image, caption, separator

    def read(self, root: Path) -> dict[str, list[str]]:
        csv.field_size_limit(1 << 24)
        rows = csv.DictReader(io.StringIO(_only(root, self.file), newline=""), delimiter=self.separator)
        found: dict[str, list[str]] = {}
        try:
            columns = [name.strip() for name in rows.fieldnames or []]
            if not {self.image, self.caption} <= set(columns):
                raise UserError(f"{self.file} has the columns {columns}: want {self.image} and {self.caption}")
            rows.fieldnames = columns
            for row in rows:
                found.setdefault(row[self.image] or "", []).append(_one_line(row[self.caption] or ""))
        except csv.Error as error:
            raise UserError(f"{self.file} cannot be read, line {rows.line_num}: {error}") from error
        return found


@final
class CaptionTokens(CaptionFiles):
    """Lines of ``name.jpg#number<TAB>caption``, as Flickr8k and Flickr30k come.

    Args:
        file: name of the file, in whatever folder.
    """

    def __init__(self, file: str = "Flickr8k.token.txt") -> None:
        self.file = file

    def read(self, root: Path) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for number, line in enumerate(_only(root, self.file).splitlines(), start=1):
            name, tab, caption = line.partition("\t")
            if not tab and line.strip():
                raise UserError(f"{self.file} line {number} has no tab: want name.jpg#0<TAB>caption")
            if tab:
                found.setdefault(name.partition("#")[0], []).append(_one_line(caption))
        return found


@final
class CaptionPerPicture(CaptionFiles):
    """A text file for each picture, of the same name but for the ending, beside it or in another folder: a line for
    each caption. CUB: ``images/001.Albatross/x.jpg`` and ``text_c10/001.Albatross/x.txt``.

    Args:
        ending: of the text files.
    """

    def __init__(self, ending: str = ".txt") -> None:
        self.ending = ending

    def read(self, root: Path) -> dict[str, list[str]]:
        lines = ((name, [_one_line(line) for line in text.splitlines()]) for name, text in _texts(root, self.ending))
        return {name.removesuffix(self.ending): [line for line in part if line] for name, part in lines}


@final
class CocoCaptions(CaptionFiles):
    """COCO's JSON: ``images`` with ``id`` and ``file_name``, ``annotations`` with ``image_id`` and ``caption``.

    Args:
        files: names of the files, in whatever folder; their captions are joined.
    """

    def __init__(self, files: Sequence[str] = ("captions_train2017.json", "captions_val2017.json")) -> None:
        self.files = list(files)

    def read(self, root: Path) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for file in self.files:
            try:
                content = json.loads(_only(root, file))
                names = {image["id"]: str(image["file_name"]) for image in content["images"]}
                for note in content["annotations"]:
                    found.setdefault(names[note["image_id"]], []).append(_one_line(str(note["caption"])))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise UserError(f"{file} is no COCO file of captions: want images and annotations") from error
        return found


def captions_of(names: Sequence[str], found: Mapping[str, list[str]], root: Path) -> list[str]:
    """Find the captions of each picture: those whose name agrees from the end, as long as only one does.

    Args:
        names: of the pictures, with folders.
        found: captions by name, see `CaptionFiles`.
        root: for messages.

    Returns:
        for each picture its captions, a line each.

    Raises:
        UserError: a picture has no caption, or several names agree equally well.
    """
    known: dict[str, list[str]] = {}
    for name in found:
        parts = _parts(name)
        for depth in range(1, len(parts) + 1):
            known.setdefault("/".join(parts[-depth:]), []).append(name)
    texts, missing = [], []
    for name in names:
        captions = found[match] if (match := _match(name, known)) is not None else []
        captions = [caption for caption in captions if caption]
        texts.append("\n".join(captions))
        missing += [] if captions else [name]
    if missing:
        raise UserError(
            f"data.root is {root}, where {len(missing)} of {len(names)} pictures have no caption, such as "
            f"{missing[0]}: want one or more for each"
        )
    return texts


def _parts(name: str) -> list[str]:
    return [*name.split("/")[:-1], PurePosixPath(name).stem]


def _match(name: str, known: Mapping[str, list[str]]) -> str | None:
    """Return the name of captions that agrees with a picture's in most folders from the end; None: none, or several."""
    parts, best = _parts(name), None
    for depth in range(1, len(parts) + 1):
        candidates = known.get("/".join(parts[-depth:]), [])
        if not candidates:
            break
        best = candidates[0] if len(candidates) == 1 else None
    return best
