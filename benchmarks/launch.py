"""What do a row of metrics and a checkpoint cost a training, and how do two processes scale on two cores?

    python -m benchmarks.launch cost       # prints tables, writes results/launch_cost.json
    python -m benchmarks.launch scaling    # and results/launch_scaling.json

The VAE on digits, whose step is so small that costs show. Processes are forked after all imports, on one thread each,
and what is timed are blocks of 20 batches in the middle of a training, by the clock and as processor time, which other
jobs on the machine hardly touch.

Costs: within one training, blocks take turns: without anything, with a row each batch, with one checkpoint. What is
added is the mean over rounds of the difference to the block without, with its standard error. Waiting for the disk is
in the clock's time, not in the processor's.

Scaling: trainings take turns, as many as fit: one process, two, two with their weights in pieces, and two that know
nothing of each other: what those lose against one is the machine's, and what two in one training lose against them is
ours.
"""

import argparse
import itertools
import json
import math
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from benchmarks.interleave import RESULTS, record
from lightning_gen.files import write_json
from lightning_gen.reading import read_json
from lightning_gen.training.checkpoints import RunCheckpoint
from tests.launch.processes import Pair, prepare

BATCH, BLOCK = 64, 20
COSTS = ("neither", "a row each batch", "a checkpoint")
#: name -> trainer, processes of each training, trainings at once
SCALING = {
    "one process": ("cpu", 1, 1),
    "two, each for itself": ("cpu", 1, 2),
    "two processes": ("ddp_sim", 2, 1),
    "two, weights in pieces": ("fsdp_sim", 2, 1),
}
_NEVER = 10**9
_FIT = ["fit", "-c", "configs/vae/vae.yaml", "--evaluation.samples", "0", "--run.rate_images", "64"]
_FIT += ["--trainer.log_every_n_steps", str(_NEVER), "--run.evaluate_every", "0", "--run.save_minutes", "0"]
_NUMBERS = itertools.count()


class StepCount(Callback):
    """Writes when each block of batches began, seconds [clock, processor] of this process, into ``clock.json`` of the
    run's folder."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        # Before a batch: rows are logged after all that is called at the end of one.
        if pl_module.batches_seen % BLOCK == 0:
            self.times.append((time.perf_counter(), time.process_time()))
            self.begin(len(self.times) - 1, trainer, pl_module)

    def begin(self, block: int, trainer: Any, module: Any) -> None:
        """Called before the first batch of each block."""

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.is_global_zero:
            write_json(_checkpoints(trainer).folder.parent / "clock.json", self.times)


class Turns(StepCount):
    """Gives each block its case.

    Args:
        turns: numbers of `COSTS`; the first block of all is not counted.
    """

    def __init__(self, turns: list[int]) -> None:
        super().__init__()
        self.turns = turns

    def begin(self, block: int, trainer: Any, module: Any) -> None:
        case = COSTS[self.turns[block - 1]] if 0 < block <= len(self.turns) else "neither"
        trainer.log_every_n_steps = 1 if case == "a row each batch" else _NEVER
        interval = _checkpoints(trainer).interval
        interval.every, interval.next = _NEVER, _NEVER
        if case == "a checkpoint":
            interval.next = module.images_seen + BATCH * BLOCK // 2


def _checkpoints(trainer: Any) -> RunCheckpoint:
    return next(callback for callback in trainer.callbacks if isinstance(callback, RunCheckpoint))


def _words(root: Path, blocks: int, trainer: str, world: int, clock: dict[str, Any]) -> tuple[list[str], Path]:
    """A training of `blocks` blocks, and its folder."""
    folder = root / f"run{next(_NUMBERS)}"
    images = blocks * BLOCK * BATCH * world
    place = ["--run.root", str(root), "--run.name", folder.name, "--run.images", str(images)]
    callbacks = ["--trainer.callbacks", json.dumps([clock])]
    return [*_FIT, "-c", f"configs/trainer/{trainer}.yaml", *place, *callbacks], folder


def _seconds(folder: Path) -> list[list[float]]:
    """[clock, processor] of each block but the first."""
    times = read_json(folder / "clock.json")
    return [[b - a for a, b in zip(one, two, strict=True)] for one, two in itertools.pairwise(times[1:])]


def _run(trainings: list[tuple[list[str], Path]], log: Path, world: int) -> list[list[float]]:
    """All at once; the blocks of the first."""
    pairs = [Pair(words, log, world) for words, _ in trainings]
    assert [pair.wait() for pair in pairs] == [[0] * world] * len(pairs), log.read_text()[-2000:]
    return _seconds(trainings[0][1])


def costs(root: Path, rounds: int) -> dict[str, list[list[float]]]:
    """[clock, processor] seconds of the block of each case in each round."""
    chance = random.Random(0)
    turns = [case for _ in range(rounds) for case in chance.sample(range(len(COSTS)), len(COSTS))]
    clock = {"class_path": "benchmarks.launch.Turns", "init_args": {"turns": turns}}
    blocks = _run([_words(root, len(turns) + 2, "cpu", 1, clock)], root / "log.txt", 1)
    return {name: [block for block, turn in zip(blocks, turns, strict=False) if COSTS[turn] == name] for name in COSTS}


def scaling(root: Path, end: float, blocks: int) -> dict[str, list[list[float]]]:
    """[clock, processor] seconds of a block, the median of each training; rounds until the clock shows `end`."""
    chance, took, began = random.Random(0), 0.0, time.monotonic()
    found: dict[str, list[list[float]]] = {name: [] for name in SCALING}
    while not took or began + took < end:
        for name in chance.sample(list(SCALING), len(SCALING)):
            trainer, world, at_once = SCALING[name]
            clock = {"class_path": "benchmarks.launch.StepCount"}
            trainings = [_words(root, blocks + 2, trainer, world, clock) for _ in range(at_once)]
            seconds = _run(trainings, root / "log.txt", world)
            found[name].append([statistics.median(column) for column in zip(*seconds, strict=True)])
        began, took = time.monotonic(), time.monotonic() - began
    return found


def main() -> None:
    """One of the questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "scaling"])
    parser.add_argument("--rounds", type=int, default=60, help="of costs (60)")
    parser.add_argument("--seconds", type=float, default=360, help="for rounds of scaling (360)")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    about = {"model": "VAE, configs/vae/vae.yaml", "images": "8x8x1", "batch per process": BATCH}
    about |= {"batches timed": BLOCK, "threads each": 1}
    prepare([*_FIT, "-c", "configs/trainer/cpu.yaml"])
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "cost":
            seconds = costs(Path(folder), options.rounds)
            about["checkpoint_bytes"] = (Path(folder) / "run0" / "checkpoints" / "last.ckpt").stat().st_size
        else:
            seconds = scaling(Path(folder), end, 6)
    about["load"] = [round(value, 1) for value in os.getloadavg()]
    reference = COSTS[0] if options.what == "cost" else "one process"
    _record(f"launch_{options.what}", seconds, reference, about)
    if options.what == "cost":
        _add_costs(seconds)


def _record(name: str, seconds: dict[str, list[list[float]]], reference: str, about: dict[str, Any]) -> None:
    """Two results, by the clock and by the processor, in one file."""
    contents = []
    for place, times in enumerate(("clock", "processor of the first process")):
        column = {case: [pair[place] for pair in pairs] for case, pairs in seconds.items()}
        record(name, column, reference, {**about, "times": times})
        contents.append(read_json(RESULTS / f"{name}.json"))
    write_json(RESULTS / f"{name}.json", {**contents[1], "clock": contents[0]["cases"]})


def _add_costs(cost: dict[str, list[list[float]]]) -> None:
    """Milliseconds for each row and each checkpoint, beside the ratios."""
    path = RESULTS / "launch_cost.json"
    content, added = read_json(path), {}
    for name, events in (("a row each batch", BLOCK), ("a checkpoint", 1)):
        for place, times in enumerate(("clock", "processor")):
            more = [1000 * (a[place] - b[place]) / events for a, b in zip(cost[name], cost[COSTS[0]], strict=True)]
            mean, error = statistics.mean(more), statistics.stdev(more) / math.sqrt(len(more))
            added[f"{name}, {times}"] = {"added_ms_each": round(mean, 3), "standard_error": round(error, 3)}
            print(f"{name}, {times}: {mean:.3f} ms more for each, standard error {error:.3f}")
    write_json(path, {**content, "added": added})


if __name__ == "__main__":
    main()
