"""Checkpoint files: atomic, with a checksum inside, read with weights_only alone.

A checkpoint is a ZIP archive as `torch.save` writes it whose archive comment, the last 64 bytes of the file, is the
SHA-256 of everything before the comment's length field. The checksum travels with the file through copies and
renames, there is no second file to fall out of step, and `torch.load` reads it as it reads any other.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins import CheckpointIO

from lightning_gen.errors import UserError
from lightning_gen.files import atomic_write

__all__ = ["AtomicCheckpointIO", "is_whole", "keep", "newest_valid"]

_HEX = 64
_LENGTH = _HEX.to_bytes(2, "little")
_CHUNK = 1 << 22


class _Hashing:
    """A writable stream that hashes what passes, and holds back the last two bytes: the comment's length."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.digest, self.tail = stream, hashlib.sha256(), b""
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        block = self.tail + bytes(data)
        self.tail = block[-2:]
        self._put(block[:-2])
        return len(data)

    def _put(self, block: bytes) -> None:
        self.digest.update(block)
        try:
            self.stream.write(block)
        except OSError as error:
            self.error = error  # torch hides it behind an error of its own
            raise

    def flush(self) -> None:
        self.stream.flush()

    def close(self) -> None:
        self.stream.write(_LENGTH + self.digest.hexdigest().encode())


class AtomicCheckpointIO(CheckpointIO):
    """Writes a temporary file beside the target, flushes it to disk and renames it: a reader, and a run that is
    killed at any moment, finds the old checkpoint or the new one, never half of either, on any file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Raises `UserError` where the disk is full or not writable; `path` is then as it was."""
        stream = None
        try:
            with atomic_write(path) as raw:
                stream = _Hashing(raw)
                torch.save(checkpoint, stream)  # type: ignore[arg-type]
                stream.close()
        except (OSError, RuntimeError) as error:
            cause = stream.error if stream and stream.error else error
            if not isinstance(cause, OSError):
                raise
            raise UserError(f"checkpoint {path} cannot be written: {cause.strerror}; want space for it") from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Load tensors and plain values only, on the CPU by default. Raises `UserError` where the file is damaged."""
        if not is_whole(path):
            raise UserError(f"checkpoint {path} is damaged: its checksum does not match")
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def is_whole(path: str | Path) -> bool:
    """Whether `path` is a checkpoint of `AtomicCheckpointIO` whose checksum matches."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        left = os.fstat(stream.fileno()).st_size - _HEX - 2
        stream.seek(max(0, left))
        if not stream.read().startswith(_LENGTH):  # no comment: a file of holes would be hashed for hours
            return False
        stream.seek(0)
        while left > 0:
            block = stream.read(min(_CHUNK, left))
            if not block:
                return False
            digest.update(block)
            left -= len(block)
        return stream.read() == _LENGTH + digest.hexdigest().encode()


def newest_valid(folder: str | Path) -> tuple[Path | None, list[Path]]:
    """The newest whole checkpoint of ``folder`` to resume from (None where there is none), and the damaged ones that
    were newer."""
    damaged: list[Path] = []
    for name in ("last", "previous"):
        path = Path(folder) / f"{name}.ckpt"
        if path.is_file():
            if is_whole(path):
                return path, damaged
            damaged.append(path)
    return None, damaged


def keep(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, atomically and without copying where the file system has links."""
    link = target.with_name(f".{target.name}.link")
    link.unlink(missing_ok=True)
    try:
        os.link(source, link)
    except OSError:
        with open(source, "rb") as stream, atomic_write(target) as copy:
            shutil.copyfileobj(stream, copy)
    else:
        os.replace(link, target)
        link.unlink(missing_ok=True)  # renaming onto another name of the same file does nothing, and leaves both
