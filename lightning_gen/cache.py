"""What is kept from one run to the next: learned extractors, what distances know of the real images, tunes as bars."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from lightning_gen.distributed import everywhere, from_first_process, rank_and_world
from lightning_gen.files import atomic_write

__all__ = ["cache_path", "cached", "read_cached", "write_cached"]


def cache_path(room: str, identity: dict[str, Any]) -> Path:
    """Name a file by everything that its content depends on."""
    root = Path(os.environ.get("LIGHTNING_GEN_CACHE", "~/.cache/lightning_gen")).expanduser()
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    return root / room / f"{name}.safetensors"


def cached(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Read `path`, or make its content and write it where it is not there. A collective: every process gets the first
    one's tensors."""
    tensors = read_cached(path)
    known = everywhere(tensors is not None)
    if tensors is None or not known:  # all or none: `make` may need every process
        tensors = {key: value.detach().cpu().contiguous() for key, value in make().items()}
    tensors = {key: from_first_process(tensor) for key, tensor in sorted(tensors.items())}
    if rank_and_world()[0] == 0 and not known:
        write_cached(path, tensors)
    return tensors


def read_cached(path: Path) -> dict[str, Tensor] | None:
    """Return the content of a cached file; None where there is none, it is damaged, or of another name."""
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    return tensors if about.get("digest") == _digest(path, tensors) else None


def write_cached(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a cached file; where that is not possible, say so in one line."""
    try:
        with atomic_write(path) as stream:
            stream.write(save(tensors, {"digest": _digest(path, tensors)}))
    except OSError as error:  # a full disk costs the next run some time, not this one its numbers
        print(f"lightning-gen: cache {path.parent} cannot be written: {error.strerror or error}", file=sys.stderr)


def _digest(path: Path, tensors: dict[str, Tensor]) -> str:
    """64 hex digits over the name of the file, which says what it depends on, and its whole content."""
    found = hashlib.sha256(path.name.encode())
    for key, value in sorted(tensors.items()):
        found.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
