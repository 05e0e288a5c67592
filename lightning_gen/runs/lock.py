"""One training at a time in a run folder."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lightning_gen.errors import UserError

__all__ = ["hold"]


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a run folder, which is made where it is not there; the system lets go of it however this process ends.

    A file system without locks holds nothing.

    Raises:
        UserError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with _open(path) as file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            file.close()


def _unfollowed(path: Path) -> IO[str]:
    """Open a file, made where it is not there: no link, which could lead to a file that is none of the run's."""
    try:
        found = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise UserError(f"{path} cannot be opened, {error.strerror}: want no link there, and leave to write") from error
    return os.fdopen(found, "r+")


def _open(path: Path) -> IO[str]:
    """Open and lock the file at `path`: not one that another process has just removed."""
    while True:
        file = _unfollowed(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise UserError(
                f"run {path.parent} is being trained by {holder}: want its end, or another run.name"
            ) from None
        except OSError:  # no locks here
            return file
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            return file
        file.close()
