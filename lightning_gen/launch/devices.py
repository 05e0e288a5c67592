"""The accelerators of this machine, shared out over the workers of a sweep."""

import os
import shutil
import subprocess

from lightning_gen.errors import UserError

__all__ = ["shared_out", "visible_gpus"]


def visible_gpus() -> list[str]:
    """Return what this process may use, as CUDA_VISIBLE_DEVICES names them, without importing torch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    words = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found.stdout.split() if found.returncode == 0 else []


def shared_out(workers: int, gpus: list[str], share: bool) -> list[dict[str, str]]:
    """Return the environment of each worker: a GPU of its own where there are any.

    Args:
        workers: 1 or more.
        gpus: from `visible_gpus`.
        share: several workers may use one GPU.

    Raises:
        UserError: there are more workers than GPUs, and they may not share them.
    """
    if not gpus:
        return [{} for _ in range(workers)]
    if workers > len(gpus) and not share:
        raise UserError(f"workers is {workers}, but this machine has {len(gpus)} GPUs: want as many, or --share-gpus")
    return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(workers)]
