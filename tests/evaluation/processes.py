"""Measures a run in one, two and three processes; test_protocol.py starts it:
python -m tests.evaluation.processes FOLDER. The run is FOLDER/r; each process writes what it found to
FOLDER/RANK-of-WORLD.json."""

import json
import sys
from functools import partial
from pathlib import Path

import torch

from lightning_gen.config.loading import load_module
from lightning_gen.data.digits import Digits
from lightning_gen.evaluation.protocol import Evaluation
from tests.launch.processes import Together


def _uneven() -> Digits:
    """199 held-out images: neither 2 nor 3 divide them."""
    data = Digits()
    data.splits["val"] = {key: column[:199] for key, column in data.splits["val"].items()}
    return data


def measure(folder: Path, world: int) -> None:
    """What one process of `world` finds."""
    if world > 1:
        torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank() if world > 1 else 0
    run = load_module(folder / "r" / "checkpoints" / "last.ckpt")
    metrics = Evaluation(samples=151, weights=2).measure(run, _uneven())
    (folder / f"{rank}-of-{world}.json").write_text(json.dumps(metrics))
    if world > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)  # a convolution rounds otherwise on another number of threads
    folder = Path(sys.argv[1])
    for world in (1, 2, 3):
        log = folder / f"log{world}.txt"
        statuses = Together(partial(measure, folder, world), log, world).wait()
        assert statuses == [0] * world, log.read_text()[-10000:]
