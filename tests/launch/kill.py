"""kill -9 at random moments of a run in two processes, also while a checkpoint is being written; the run is resumed
each time, and at its end compared with one that was never stopped: weights, their average, optimizers, random states,
metrics, evaluations and sample grids, bit for bit.

    python -m tests.launch.kill --kills 20                 # per family; a JSON line per family
    python -m tests.launch.kill --kills 3 --family vae --trainer fsdp_sim --shards
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from lightning_gen.reading import read_rows
from lightning_gen.tasks.pack import main as pack
from tests.launch.processes import Pair, prepare

FAMILIES = {
    "vae": "configs/vae/vae.yaml",
    "flow": "configs/flow/realnvp.yaml",
    "pixelcnn": "configs/autoregressive/pixelcnn.yaml",
    "gan": "configs/gan/dcgan.yaml",
    "stylegan2": "configs/gan/stylegan2_shapes.yaml",
    "vqvae": "configs/vae/vqvae.yaml",
}
BATCH = 32  # two processes of 16
_TIMES = ("seconds", "time")


def _is_time(key: object) -> bool:
    return key in _TIMES or (isinstance(key, str) and key.startswith("speed/"))


def fit_arguments(family: str, root: Path, name: str, steps: int, trainer: str = "ddp_sim") -> list[str]:
    """A short run with a row each batch, and a checkpoint each second one; on shards where `root` has them."""
    run = ["--run.root", root, "--run.name", name, "--run.images", BATCH * steps, "--run.resume", "same"]
    marks = ["--run.save_every", 2 * BATCH, "--run.evaluate_every", 10 * BATCH, "--run.grid_every", 16 * BATCH]
    small = ["--data.init_args.batch_size", 16, "--evaluation.samples", 128, "--run.health_every", 4 * BATCH]
    small += ["--run.rate_images", 64]
    shape = ["-c", f"configs/trainer/{trainer}.yaml", "--trainer.log_every_n_steps", 1]
    shards = ["-c", "configs/data/shards.yaml", "--data.init_args.root", root / "shards", "--data.init_args.mix", 3]
    data = shards if (root / "shards").exists() else []
    return ["fit", "-c", FAMILIES[family], *map(str, [*shape, *data, *run, *marks, *small])]


def survive(family: str, root: Path, kills: int, chance: random.Random, trainer: str = "ddp_sim") -> dict[str, Any]:
    """Train once undisturbed and once under `kills` kills; what differs, and when the kills came."""
    steps = 10 * kills + 12  # a kill may come ten batches after the one before it
    log = root / "log.txt"
    whole, killed = (fit_arguments(family, root, name, steps, trainer) for name in ("whole", "killed"))
    prepare(whole)
    assert Pair(whole, log).wait() == [0, 0], log.read_text()[-10000:]
    moments: list[dict[str, Any]] = []
    for i in range(kills):
        old = set((root / "killed").rglob(".*.tmp"))
        pair = Pair(killed, log)
        moment = _kill(pair, root / "killed", ("writing", "row", "writing", "start")[i % 4], chance)
        statuses = pair.wait()
        if statuses != [-9, -9]:
            print(log.read_text()[-10000:], file=sys.stderr)
            moments.append({"kind": "not killed", "statuses": statuses})
            break
        torn = {p.name for p in set((root / "killed").rglob(".*.tmp")) - old}
        moments.append({**moment, "half_written": any(name.startswith(".last.ckpt") for name in torn)})
    assert Pair(killed, log).wait() == [0, 0], log.read_text()[-10000:]
    return {
        "family": family,
        "trainer": trainer,
        "kills": sum(m["kind"] != "not killed" for m in moments),
        "while_writing": sum(m.get("half_written", False) for m in moments),
        "steps": steps,
        "differences": differences(root / "whole", root / "killed"),
        "moments": moments,
    }


def _kill(pair: Pair, folder: Path, kind: str, chance: random.Random) -> dict[str, Any]:
    """Kill both processes: as a checkpoint is half written, some rows later, or soon after their start."""
    delay, wanted = chance.uniform(0.0, 0.03), chance.randint(1, 5)
    if kind == "start":
        delay, wanted = chance.uniform(0.0, 1.5), 0
    begin, old, seen = _rows(folder), _half_written(folder), set[str]()
    while pair.running() and wanted:
        if kind == "writing":
            torn = _half_written(folder) - old
            seen |= torn
            if len(seen) >= wanted and torn:
                # Held still, so that the file is half written at the kill as well, and not only when it was looked for.
                pair.signal(signal.SIGSTOP)
                time.sleep(0.01)
                if _half_written(folder) - old:
                    delay = 0.0
                    break
                pair.signal(signal.SIGCONT)
        elif _rows(folder) >= begin + wanted:
            break
        else:
            time.sleep(0.001)
    time.sleep(delay)
    pair.signal()
    return {"kind": kind, "rows": _rows(folder)}


def _half_written(folder: Path) -> set[str]:
    return {p.name for p in (folder / "checkpoints").glob(".last.ckpt.*.tmp")}


def _rows(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def differences(a: Path, b: Path) -> list[str]:
    """What two run folders differ in, beside times: nothing, when they hold the same training."""
    states = [torch.load(p / "checkpoints" / "last.ckpt", weights_only=True) for p in (a, b)]
    rooms = ("images_seen", "state_dict", "ema", "optimizer_states", "ranks", "loops")
    found = [room for room in rooms if not _same(*(_timeless(state[room]) for state in states))]
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        rows = [[_timeless(row) for row in read_rows(p / name)] if (p / name).exists() else [] for p in (a, b)]
        found += [] if rows[0] == rows[1] else [f"{name}: {len(rows[0])} and {len(rows[1])} rows"]
    grids = [{p.name: p.read_bytes() for p in sorted((run / "samples").glob("*.png"))} for run in (a, b)]
    return found + ([] if grids[0] == grids[1] else ["samples"])


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if not _is_time(key)}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b


def main() -> int:
    """Exit status 1 where anything differs or a kill did not happen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="per family (20)")
    parser.add_argument("--family", choices=list(FAMILIES), nargs="*", default=list(FAMILIES)[:4])
    parser.add_argument("--trainer", default="ddp_sim", help="of configs/trainer, with two processes (ddp_sim)")
    parser.add_argument("--shards", action="store_true", help="digits that stream from shards of 100 images")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--keep", type=Path, help="folder for the runs, to look at what differs")
    parser.add_argument("--record", type=Path, help="file for the JSON lines")
    options = parser.parse_args()
    results = []
    # All trainings are forked from here: this process itself computes nothing before the last of them.
    for family in options.family:
        with tempfile.TemporaryDirectory() as folder:
            chance = random.Random(f"{options.seed} {family}")
            root = options.keep / family if options.keep else Path(folder)
            root.mkdir(parents=True, exist_ok=True)
            if options.shards:
                pack(["configs/data/digits.yaml", "--out", str(root / "shards"), "--images", "100"])
            results.append(survive(family, root, options.kills, chance, options.trainer))
            print(json.dumps(results[-1]), flush=True)
    if options.record:
        options.record.write_text("".join(json.dumps(result) + "\n" for result in results))
    return int(any(r["differences"] or r["kills"] < options.kills for r in results))


if __name__ == "__main__":
    sys.exit(main())
