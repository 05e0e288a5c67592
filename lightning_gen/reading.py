"""Files from anywhere, read within bounds: ordinary files, of limited size, depth and number of values.

Run folders, sweep files and configurations may come from a stranger, or from a disk that is dying. Whatever is wrong
with a file is a `UserError` of one line: no pipe, device, alias, depth or number keeps a command busy, or ends it in a
traceback.
"""

import errno
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from lightning_gen.errors import UserError

__all__ = [
    "SETTINGS",
    "inert",
    "parse_json",
    "parse_yaml",
    "plain",
    "read_bytes",
    "read_json",
    "read_rows",
    "read_tail",
    "read_text",
]

#: bytes of a file of settings; the longest of ours has some 10,000
SETTINGS = 1 << 20
#: bytes of a file of rows: some 500,000 rows of a training
ROWS = 1 << 27
_MOST, _DEEPEST = 100_000, 200
#: larger numbers are no measurement: sums and squares of them are infinite
_LARGEST_FLOAT, _LARGEST_INT = 1e100, 1 << 63
#: bits of a whole number; Python writes none of more than 4,300 digits
_LONGEST_INT = 1024
#: what a terminal obeys or turns around, and what no file can hold
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def read_bytes(path: str | Path, what: str = "file", largest: int = SETTINGS, inside: Path | None = None) -> bytes:
    """The content of an ordinary file.

    Args:
        path: of the file.
        what: it is, for the messages.
        largest: number of bytes.
        inside: folder that the file must lie in, links followed: whoever sends a folder must not choose what else of
            this machine is shown.

    Raises:
        UserError: there is none, it is no ordinary file, too large, cannot be read, or lies elsewhere.
    """
    try:
        if inside is not None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(inside)):
            raise UserError(f"{what} {path} leads out of {inside}: want a file that lies in it")
        with open(path, "rb", opener=_unblocked) as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise UserError(f"{what} {path} is no ordinary file: want a file")
            if about.st_size > largest:
                raise UserError(f"{what} {path} has {about.st_size} bytes: want at most {largest}")
            return stream.read(largest)
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist: want a file") from None
    except OSError as error:
        odd = error.errno in (errno.ENXIO, errno.EISDIR)
        why = "is no ordinary file: want a file" if odd else f"cannot be read: {error.strerror}"
        raise UserError(f"{what} {path} {why}") from error


def _unblocked(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_text(path: str | Path, what: str = "file", largest: int = SETTINGS, inside: Path | None = None) -> str:
    """The text of an ordinary file, as `read_bytes`; raises `UserError` where it is no UTF-8 too."""
    if "\0" in str(path):
        raise UserError(f"{what} {str(path)!r} cannot be read: no file has such a name")
    try:
        return read_bytes(path, what, largest, inside).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{what} {path} cannot be read: no text") from error


def read_tail(path: str | Path, count: int) -> str:
    """The last `count` bytes of an ordinary file as text, what is no UTF-8 replaced; empty where there is none."""
    try:
        with open(path, "rb", opener=_unblocked) as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                return ""
            stream.seek(max(0, about.st_size - count))
            return stream.read(count).decode(errors="replace")
    except OSError:
        return ""


def parse_yaml(text: str, what: str) -> Any:
    """The values of a YAML text.

    Args:
        text: of the file.
        what: and where the text is, for the message.

    Raises:
        UserError: it is no YAML, or its aliases make it deeper or larger than any honest file.
    """
    try:
        content = yaml.load(text, yaml.CSafeLoader)  # the safe loader, in C
        _count(content)
    except RecursionError:
        raise UserError(f"{what} is nested without end: want plain YAML") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise UserError(f"{what} cannot be read: {' '.join(str(error).split())[:200]}") from error
    return content


def parse_json(text: str, what: str) -> Any:
    """The values of a JSON text; raises `UserError` where it is none, or deeper or larger than any honest file."""
    try:
        content = json.loads(text)
        _count(content)
    except RecursionError:
        raise UserError(f"{what} is nested without end: want plain JSON") from None
    except ValueError as error:
        raise UserError(f"{what} cannot be read: {' '.join(str(error).split())[:200]}") from error
    return content


def _count(value: Any) -> None:
    """Raise where `value`, with its aliases written out, is too deep or too large, or holds a number without end."""
    seen, left = 0, [(value, 0)]
    while left:
        item, depth = left.pop()
        seen += 1
        if depth > _DEEPEST or seen > _MOST:
            raise RecursionError
        if isinstance(item, dict | list):
            parts = [*item, *item.values()] if isinstance(item, dict) else item
            left += [(part, depth + 1) for part in parts]
        elif isinstance(item, int) and item.bit_length() > _LONGEST_INT:
            raise ValueError("a number that is longer than any")


def read_json(path: str | Path, what: str = "file", inside: Path | None = None) -> Any:
    """One JSON value; raises `UserError` as `read_text` and `parse_json` do."""
    return parse_json(read_text(path, what, inside=inside), f"{what} {path}")


def read_rows(
    path: str | Path, problems: list[str] | None = None, inside: Path | None = None, largest: int = ROWS
) -> list[dict[str, Any]]:
    """A JSON object per line, as `plain` values; none where there is no such file.

    A writer that was killed leaves a torn line, which the next one may follow: lines that are no object are left out.

    Args:
        path: of the file.
        problems: takes a line that says how many were left out, or why the file cannot be read.
        inside: folder that the file must lie in.
        largest: number of bytes.

    Raises:
        UserError: the file cannot be read, and there are no `problems` to say so.
    """
    if not os.path.lexists(path):
        return []
    try:
        lines = read_bytes(path, "file", largest, inside).decode(errors="replace").split("\n")
    except UserError as error:
        if problems is None:
            raise
        problems.append(str(error))
        return []
    found = [_row(line) for line in lines if line.strip()]
    rows = [row for row in found if row is not None]
    if problems is not None and (torn := len(found) - len(rows)):
        problems.append(f"{Path(path).name}: {torn} damaged line{'s' if torn > 1 else ''} left out")
    return rows


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = plain(parse_json(line, "row"))
    except UserError:
        return None
    return row if isinstance(row, dict) else None


def plain(value: Any) -> Any:
    """Nested values as anyone may show and sum them up: numbers that are not finite, or beyond all measure, become
    None; texts lose what a terminal obeys; keys are texts; what YAML has beside these becomes a text.

    >>> plain({1: [float("nan"), 10**400, "a\\x1b[2J"]})
    {'1': [None, None, 'a\\\\x1b[2J']}
    """
    if isinstance(value, dict):
        return {inert(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) and abs(value) <= _LARGEST_FLOAT else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= _LARGEST_INT else None
    return value if value is None or isinstance(value, bool) else inert(str(value))


def inert(text: str) -> str:
    """A text whose control characters are written out, as ``\\\\x1b``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)
