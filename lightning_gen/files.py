"""Atomic files: a reader sees the old content or the new content, never half of either, on any file system."""

import base64
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lightning_gen.errors import UserError

__all__ = [
    "append_json_line",
    "atomic_write",
    "check_folder",
    "check_target",
    "data_uri",
    "sync",
    "without_nan",
    "write_figure",
    "write_json",
    "write_png",
    "write_text",
]


def check_target(argument: str, path: str | Path, *endings: str) -> None:
    """Refuse a file that could not be written, or not as what its name says, before anything is computed for it.

    Args:
        argument: that named it, for the message.
        path: of the file.
        endings: of its name, one of them, such as ``.png``; none: any.

    Raises:
        UserError: it has another ending, is a folder, or lies where no folder can be.
    """
    path = Path(path)
    if endings and path.suffix.lower() not in endings:
        raise UserError(f"{argument} {path} given: want a name that ends in {' or '.join(endings)}")
    if path.is_dir():
        raise UserError(f"{argument} {path} is a folder: want a file")
    _check_above(argument, path, path.absolute().parents)


def check_folder(argument: str, path: str | Path) -> None:
    """Refuse a folder that could not be made or written into, before anything is computed for it.

    Args:
        argument: that named it, for the message.
        path: of the folder.

    Raises:
        UserError: it is a file, or lies where no folder can be.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{argument} {path} is a file: want a folder")
    _check_above(argument, path, (path.absolute(), *path.absolute().parents))


def _check_above(argument: str, path: Path, folders: Iterable[Path]) -> None:
    above = next(folder for folder in folders if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(f"{argument} {path} given: {above} is no folder that can be written to, want another place")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; on success flush it to disk and rename it over `path`.

    On any exception (no disk space, an interrupt) the temporary file is removed and `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes 0600; a shared run folder must stay readable by the group
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinities become null, since JSON has no word for them."""
    write_text(path, json.dumps(without_nan(value), indent=2, allow_nan=False) + "\n")


def without_nan(value: Any) -> Any:
    """Replace numbers that are not finite, at any depth of lists and mappings, by None: JSON has no word for them.

    >>> without_nan({"a": [1.5, float("nan")]})
    {'a': [1.5, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def append_json_line(path: str | Path, row: dict[str, Any], flush: bool = True) -> None:
    """Append one JSON object; a reader never sees more than one torn line, the last. NaN and infinities become null.

    Args:
        path: of the file, made where it is not there.
        row: to be appended.
        flush: force it to disk; without, it outlives this process, but not the machine.

    Raises:
        UserError: the disk is full or not writable, and the file is then as it was; or it is a link or a pipe, which
            whoever sent the folder may have laid there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path} is no ordinary file: want one of the run itself")
    before = path.stat().st_size if path.exists() else None
    try:
        with open(path, "ab", buffering=0) as stream:
            _write_whole(stream, (json.dumps(without_nan(row), allow_nan=False) + "\n").encode())
            if flush:
                os.fsync(stream.fileno())
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True) if before is None else os.truncate(path, before)
        raise UserError(f"{path} cannot be written: {error.strerror}; want space for it") from error


def _write_whole(stream: Any, content: bytes) -> None:
    while content:
        content = content[stream.write(content) :]


def sync(path: str | Path) -> None:
    """Force what has been written to `path` to disk; nothing where there is no such file."""
    if not os.path.isfile(path):
        return
    with suppress(FileNotFoundError), open(path, "rb") as stream:
        os.fsync(stream.fileno())


def data_uri(kind: str, content: bytes) -> str:
    """Write a file into an address, so that a page needs no other file; `kind` is such as ``image/png``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def write_figure(path: str | Path, figure: Any, dpi: int = 100) -> None:
    """Write a figure of matplotlib as PNG, atomically."""
    with atomic_write(path) as stream:
        figure.savefig(stream, format="png", dpi=dpi)


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write a uint8 picture (H, W) or (H, W, 3) as PNG, atomically; raises `UserError` for a name without ``.png``."""
    check_target("picture", path, ".png")
    from PIL import Image

    with atomic_write(path) as stream:
        Image.fromarray(image).save(stream, format="PNG")
