"""What two processes of one training promise, each as a JSON line: python -m tests.launch.pairs"""

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback

from lightning_gen.training.capture import CapturedSteps, take_over_averages
from tests.launch.kill import BATCH, _rows, differences, fit_arguments
from tests.launch.processes import Pair, prepare

#: three batches to a step, as each kind of model is told, in whole copies and in pieces; the batches of the kills
ACCUMULATE = [
    ("vae", "ddp_sim", "--trainer.accumulate_grad_batches", (4,)),
    ("vae", "fsdp_sim", "--trainer.accumulate_grad_batches", (8,)),
    ("gan", "ddp_sim", "--model.init_args.training.accumulate", (4, 8)),
]
#: what tests.launch.kill has looked at
TRAINING_ALONE = ["--evaluation.samples", "0", "--run.evaluate_every", "0", "--run.grid_every", "0"]
#: at the end
RARELY = ["--run.save_every", str(12 * BATCH)]


def _replace(arguments: list[str], key: str, value: str) -> list[str]:
    """The arguments with the value behind `key` exchanged."""
    place = arguments.index(key) + 1
    return [*arguments[:place], value, *arguments[place + 1 :]]


def _checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def two_are_one(root: Path) -> dict[str, Any]:
    """A PixelCNN without dropout draws no noise: two processes of 16 images must be one of 32, but for rounding."""
    log = root / "log.txt"
    plain = ["--model.init_args.net.init_args.dropout", "0"]
    pair = [*fit_arguments("pixelcnn", root, "pair", 4), *plain]
    assert Pair(pair, log).wait() == [0, 0], log.read_text()[-2000:]
    one = _replace(_replace(pair, "--run.name", "one"), "--data.init_args.batch_size", "32")
    one = ["configs/trainer/cpu.yaml" if word == "configs/trainer/ddp_sim.yaml" else word for word in one]
    assert Pair(one, log, world=1).wait() == [0], log.read_text()[-2000:]
    a, b = (_checkpoint(root / name)["state_dict"] for name in ("pair", "one"))
    return {"largest_difference": max(float((a[key].double() - b[key].double()).abs().max()) for key in a)}


def noise_per_process(root: Path) -> dict[str, Any]:
    """The random states of the two processes, after the training of `two_are_one`."""
    states = [rank["random"]["torch"] for rank in _checkpoint(root / "pair")["ranks"]]
    return {"equal": torch.equal(*states)}


def asked_to_leave(root: Path) -> dict[str, Any]:
    """SIGTERM to one process of two: both save, end, and go on later as if nothing had happened."""
    log = root / "log.txt"
    assert Pair(fit_arguments("vae", root, "whole", 24), log).wait() == [0, 0], log.read_text()[-2000:]
    words = fit_arguments("vae", root, "left", 24)
    pair = Pair(words, log)
    while pair.running() and _rows(root / "left") < 5:
        time.sleep(0.005)
    pair.pids, others = pair.pids[1:], pair.pids[:1]
    pair.signal(signal.SIGTERM)
    pair.pids = others + pair.pids
    statuses = pair.wait()
    assert Pair(words, log).wait() == [0, 0], log.read_text()[-2000:]
    return {"statuses": statuses, "differences": differences(root / "whole", root / "left")}


def pieces_are_whole(root: Path) -> dict[str, Any]:
    """Weights in pieces (FSDP) against whole copies (DDP): a VQ-VAE, whose first batch sets weights, after 8 steps."""
    log = root / "log.txt"
    for name, trainer in (("copies", "ddp_sim"), ("pieces", "fsdp_sim")):
        words = [*fit_arguments("vqvae", root, name, 8, trainer), *TRAINING_ALONE, *RARELY]
        assert Pair(words, log).wait() == [0, 0], log.read_text()[-2000:]
    return {"differences": differences(root / "copies", root / "pieces")}


class Die(Callback):
    """kill -9 between two batches.

    Args:
        images: seen by then.
    """

    def __init__(self, images: int) -> None:
        self.images = images

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if pl_module.images_seen == self.images:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_while_accumulating(root: Path) -> dict[str, Any]:
    """Killed within the three batches of an accumulation, and resumed: where Lightning accumulates,
    and where the adversarial step does."""
    log, found = root / "log.txt", []
    for family, trainer, accumulate, kills in ACCUMULATE:
        three = [accumulate, "3", "--run.save_every", str(BATCH), *TRAINING_ALONE]
        names = [f"{name} {family} {trainer}" for name in ("never", "cut")]
        never, cut = ([*fit_arguments(family, root, name, 12, trainer), *three] for name in names)
        assert Pair(never, log).wait() == [0, 0], log.read_text()[-2000:]
        cut += ["--run.resume", "changed"]
        for batches in kills:
            die = f"[{{class_path: tests.launch.pairs.Die, init_args: {{images: {batches * BATCH}}}}}]"
            assert Pair([*cut, "--trainer.callbacks", die], log).wait() == [-9, -9], log.read_text()[-2000:]
        assert Pair(cut, log).wait() == [0, 0], log.read_text()[-2000:]
        found += differences(*(root / name for name in names))
    return {"differences": found}


def _run_in_python(self: CapturedSteps, trainer: Any, module: Any) -> None:
    """Every step by the path of captured ones, computed in Python: what a replay would do."""
    take_over_averages(trainer, module)
    module.step_runner = lambda key, batch, body, waiting: body(batch) or "captured"


def captured_steps_are_eager(root: Path) -> dict[str, Any]:
    """The device part of a step, which averages gradients itself, against the step of DDP, with buffers that move."""
    log, own, found = root / "log.txt", CapturedSteps.on_train_start, []
    for family in ("flow", "gan"):
        for name in ("eager", "graph"):
            CapturedSteps.on_train_start = own if name == "eager" else _run_in_python  # type: ignore[method-assign]
            words = [*fit_arguments(family, root, f"{name} {family}", 12), *TRAINING_ALONE, *RARELY]
            words += ["--trainer.accumulate_grad_batches", "3"] if family == "flow" else []
            assert Pair(words, log).wait() == [0, 0], log.read_text()[-2000:]
        found += differences(*(root / f"{name} {family}" for name in ("eager", "graph")))
    CapturedSteps.on_train_start = own  # type: ignore[method-assign]
    return {"differences": found}


def main() -> None:
    """One line for each promise."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for family in ("pixelcnn", "vae", "vqvae"):
            prepare(fit_arguments(family, root, "x", 1))
        for what in (
            two_are_one,
            noise_per_process,
            asked_to_leave,
            pieces_are_whole,
            killed_while_accumulating,
            captured_steps_are_eager,
        ):
            print(json.dumps({"what": what.__name__.replace("_", " "), **what(root)}), flush=True)


if __name__ == "__main__":
    main()
