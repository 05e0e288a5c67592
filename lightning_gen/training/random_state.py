"""The random numbers of a training: the seed of each process, and the state of all generators for an exact resume."""

import random
from typing import Any

import numpy as np
import torch

__all__ = ["random_state", "seed_process", "set_random_state"]

#: the distance of the seeds of two neighbouring processes
_STRIDE = 1_000_003


def seed_process(rank: int) -> None:
    """Give the process `rank` noise of its own; the first one goes on with the generators as they are.

    One seed builds equal weights on all processes. Call this once, after that and before the first batch: it is the
    only place that tells the processes of a training apart.
    """
    if not rank:
        return
    seed = torch.initial_seed() + _STRIDE * rank
    torch.manual_seed(seed)  # the generators of all devices as well
    random.seed(seed)
    np.random.seed(seed % 2**32)


def random_state() -> dict[str, Any]:
    """Return the state of all random number generators of this process, as tensors and plain values."""
    numpy = np.random.get_state(legacy=False)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].tolist()}},
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Set all generators to what `random_state` returned."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    key = np.array(state["numpy"]["state"]["key"], dtype=np.uint32)
    np.random.set_state({**state["numpy"], "state": {**state["numpy"]["state"], "key": key}})
