"""What an evaluation keeps from one run to the next: learned extractors, and what distances know of the real images."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lightning_gen.distributed import everywhere, from_first_process, rank_and_world
from lightning_gen.files import atomic_write

__all__ = ["cache_path", "cached"]


def cache_path(room: str, identity: dict[str, Any]) -> Path:
    """Name a file by everything that its content depends on."""
    root = Path(os.environ.get("LIGHTNING_GEN_CACHE", "~/.cache/lightning_gen")).expanduser()
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    return root / room / f"{name}.safetensors"


def cached(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Read `path`, or make its content and write it where it is not there. A collective: every process gets the first
    one's tensors."""
    tensors = _read(path)
    known = everywhere(tensors is not None)
    if tensors is None or not known:  # all or none: `make` may need every process
        tensors = {key: value.detach().cpu().contiguous() for key, value in make().items()}
    tensors = {key: from_first_process(tensor) for key, tensor in sorted(tensors.items())}
    if rank_and_world()[0] == 0 and not known:
        _write(path, tensors)
    return tensors


def _read(path: Path) -> dict[str, Tensor] | None:
    """The content of a cached file; None where there is none, or it is damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        with atomic_write(path) as stream:
            stream.write(save(tensors))
    except OSError as error:  # a full disk costs the next run some time, not this one its numbers
        print(f"lightning-gen: cache {path.parent} cannot be written: {error.strerror or error}", file=sys.stderr)
