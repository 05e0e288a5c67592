"""What do checkpoints and rows of metrics cost a training, and how do two processes scale on two cores?

    python -m benchmarks.launch         # prints tables, writes results/launch_cost.json, launch_scaling.json

Each case is a whole `lightning-gen fit` of the VAE on digits in processes of its own, forked after all imports; the
cases take turns. Costs are processor time of whole trainings, so that other jobs weigh little, against one that neither
logs nor saves before its end; waiting for the disk is not in them. Weak scaling is the wall time between two rows of
metrics, each process with its own 64 images per batch: 1 is perfect, and other jobs weigh heavily.
"""

import argparse
import itertools
import os
import random
import resource
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.interleave import record
from lightning_gen.files import read_json, read_json_lines, write_json
from tests.launch.processes import Pair, prepare

BATCH, STEPS = 64, 100
IMAGES = BATCH * STEPS
_FIT = ["fit", "-c", "configs/vae/vae.yaml", "--evaluation.samples", "0", "--run.rate_images", "64"]
_NEVER, _SAVE = ["--trainer.log_every_n_steps", "1000000"], ["--run.save_every", "1000"]
COSTS = {
    "neither": _NEVER,
    "a row each 20 batches": ["--trainer.log_every_n_steps", "20"],
    "a row each batch": ["--trainer.log_every_n_steps", "1"],
    "a checkpoint each 1,000 images": [*_NEVER, *_SAVE],
}
SCALING = {"one process": 1, "two processes": 2}
_NUMBERS = itertools.count()


def _train(root: Path, world: int, more: list[str]) -> tuple[float, Path]:
    """Processor seconds of a whole training, and its folder."""
    folder = root / f"run{next(_NUMBERS)}"
    place = ["--run.root", str(root), "--run.name", folder.name, "--run.images", str(IMAGES * world)]
    shape = ["-c", f"configs/trainer/{'cpu' if world == 1 else 'ddp_sim'}.yaml"]
    began = _spent()
    statuses = Pair([*_FIT, *shape, *place, *more], root / "log.txt", world).wait()
    assert statuses == [0] * world, (root / "log.txt").read_text()[-2000:]
    return _spent() - began, folder


def _spent() -> float:
    """Processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _between_rows(root: Path, world: int) -> float:
    """Seconds per batch, from the first row to the last."""
    _, folder = _train(root, world, ["--trainer.log_every_n_steps", "10", "--run.evaluate_every", "0"])
    rows = [row for row in read_json_lines(folder / "metrics.jsonl") if "train/bits_per_dim" in row]
    batches = (rows[-1]["images_seen"] - rows[0]["images_seen"]) / (BATCH * world)
    return (rows[-1]["seconds"] - rows[0]["seconds"]) / batches


def main() -> None:
    """Both questions; about two minutes on two idle cores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of all cases (5)")
    rounds = parser.parse_args().rounds
    chance = random.Random(0)
    about: dict[str, Any] = {
        "model": "VAE, configs/vae/vae.yaml",
        "images": "8x8x1",
        "batch per process": BATCH,
        "threads each": 1,
    }
    costs: dict[str, list[float]] = {name: [] for name in COSTS}
    scaling: dict[str, list[float]] = {name: [] for name in SCALING}
    prepare([*_FIT, "-c", "configs/trainer/cpu.yaml"])
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name in chance.sample(list(COSTS), len(COSTS)):
                costs[name].append(_train(Path(folder), 1, ["--run.evaluate_every", "0", *COSTS[name]])[0])
            for name in chance.sample(list(SCALING), len(SCALING)):
                scaling[name].append(_between_rows(Path(folder), SCALING[name]))
        size = (Path(folder) / "run0" / "checkpoints" / "last.ckpt").stat().st_size
    # record() wants one computation's state: only from here on may this process compute.
    about["load"] = [round(value, 1) for value in os.getloadavg()]
    record(
        "launch_cost",
        costs,
        "neither",
        {**about, "times": "processor", "images seen": IMAGES, "checkpoint_bytes": size},
    )
    record("launch_scaling", scaling, "one process", about)
    _add_costs(costs)


def _add_costs(costs: dict[str, list[float]]) -> None:
    """Milliseconds per 1,000 images, beside the ratios."""
    path = Path(__file__).parent / "results" / "launch_cost.json"
    content = read_json(path)
    for name, times in costs.items():
        more = [1000 * (a - b) / (IMAGES / 1000) for a, b in zip(times, costs["neither"], strict=True)]
        content["cases"][name]["added_ms_per_1000_images"] = round(statistics.median(more), 2)
        content["cases"][name]["added_ms_of_each_round"] = [round(value, 2) for value in more]
        print(f"{name}: {statistics.median(more):.1f} ms more per 1,000 images")
    write_json(path, content)


if __name__ == "__main__":
    main()
