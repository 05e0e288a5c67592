"""Trains a StyleGAN2 in two processes, whole and in two parts; test_stylegan2.py starts it:
python -m tests.models.style_processes FOLDER ARGUMENTS."""

import sys
from pathlib import Path

from tests.launch.processes import Pair, prepare


def _train(folder: Path, name: str, images: int, *more: str) -> None:
    words = ["fit", *sys.argv[2:], "--trainer.devices", "2", "--trainer.strategy", "ddp", "--run.root", str(folder)]
    words += ["--run.name", name, "--run.images", str(images), "--run.health_every", "0", *more]
    statuses = Pair(words, folder / "log.txt").wait()
    assert statuses == [0, 0], (folder / "log.txt").read_text()[-3000:]


if __name__ == "__main__":
    prepare(["fit", *sys.argv[2:]])
    _train(Path(sys.argv[1]), "whole", 176)
    _train(Path(sys.argv[1]), "parts", 80)
    _train(Path(sys.argv[1]), "parts", 176, "--run.resume", "changed")
