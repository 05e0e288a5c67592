"""Pictures and sounds of run folders, read within bounds: what cannot be read is said in the problems of its run."""

import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image

from lightning_gen.errors import UserError
from lightning_gen.reading import read_bytes
from lightning_gen.runs.read import RunRecord

__all__ = ["read_picture", "read_sound"]

T = TypeVar("T")

#: bytes of a file, and pixels of its picture: more than any grid of ours has
_BYTES, _PIXELS = 1 << 26, 1 << 26
#: bytes of a WAV file: eight times what a training writes
_SOUND = 1 << 22


def read_picture(run: RunRecord, path: Path, side: int) -> Image.Image | None:
    """A PNG of a run, made smaller where its longer side has more than `side` pixels.

    Returns:
        RGB; None where there is no such file, and where it cannot be read or leads out of the run folder: a line of
        ``run.problems`` then says so.
    """
    return _within(run, path, lambda: _decoded(read_bytes(path, "picture", _BYTES, inside=run.folder), path, side))


def read_sound(run: RunRecord, path: Path) -> bytes | None:
    """A WAV file of a run; None as `read_picture` has it."""
    return _within(run, path, lambda: _heard(read_bytes(path, "sound", _SOUND, inside=run.folder), path))


def _within(run: RunRecord, path: Path, read: Callable[[], T]) -> T | None:
    if not path.is_symlink() and not path.exists():
        return None
    try:
        return read()
    except UserError as error:
        line = str(error).replace(f"{run.folder}/", "")
    if line not in run.problems:
        run.problems.append(line)
    return None


def _heard(content: bytes, path: Path) -> bytes:
    try:
        with wave.open(io.BytesIO(content)) as file:
            file.readframes(file.getnframes())
    except Exception as error:  # the reader raises whatever the damage leads it to
        raise UserError(f"sound {path} cannot be decoded: want a whole WAV file") from error
    return content


def _decoded(content: bytes, path: Path, side: int) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.width * image.height > _PIXELS:
                raise ValueError("too many pixels")
            image.load()
            shown = image.convert("RGB")
    except Exception as error:  # the decoder raises whatever the damage leads it to
        raise UserError(f"picture {path} cannot be decoded: want a whole PNG") from error
    shown.thumbnail((side, side))
    return shown
