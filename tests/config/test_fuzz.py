"""Whatever a configuration, a checkpoint or a run folder says, a command ends soon, in a result or in one plain line.

``FUZZ=3000 pytest tests/config/test_fuzz.py`` tries more; what it last found stands in docs/extending.md.
"""

import os
import random
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml

from lightning_gen.config.cli import main
from tests.config.hostile import watched
from tests.config.mutation import mutated

COUNT = int(os.environ.get("FUZZ", "150"))
SECONDS = 120  # a machine under load; what hangs, hangs longer
CONFIGS = ("vae/vae", "gan/dcgan", "flow/nice", "flow/maf", "autoregressive/gated_pixelcnn", "gan/sngan_projection")
SMALL = {
    "evaluation": {"samples": 0},
    "trainer": {"accelerator": "cpu", "devices": 1, "log_every_n_steps": 5, "gradient_clip_val": None},
}


@contextmanager
def limited(what):
    def late(*_):
        raise AssertionError(f"{what} hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ends_well(words, what, capfd):
    """Run a command; what is wrong with its end, empty for a result or one plain line, and its status."""
    capfd.readouterr()
    try:
        with limited(what), watched() as seen:
            status = main(words)
    except Exception as error:
        return f"{what}: {type(error).__name__}: {error}"[:400], None
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("lightning-gen: ")]
    plain = status == 0 or (status == 2 and len(said) == 1 and len(said[0]) < 1200)
    acts = [act for act in seen if "os.system" in act]
    return ("" if plain and not acts else f"{what}: status {status}, {said}, {acts}"), status


@pytest.mark.parametrize("part", range(10))
def test_a_mutated_configuration_trains_or_is_refused_in_one_line(part, tmp_path, capfd):
    wrong, refused = [], 0
    for number in range(part, COUNT, 10):
        source = random.Random(number)
        content = {**yaml.safe_load(Path(f"configs/{source.choice(CONFIGS)}.yaml").read_text()), **SMALL}
        content["run"] = {"images": 16, "ema": 0.9, "health_every": 0}
        content["data"]["init_args"]["batch_size"] = 16
        config, root = tmp_path / f"{number}.yaml", tmp_path / f"runs{number}"
        config.write_text(yaml.safe_dump(mutated(content, source)))
        words = ["fit", "-c", str(config), "--run.root", str(root), "--run.name", "r"]
        words += ["--run.images", "16"]  # whatever the file says: a long training is no fault
        why, status = ends_well(words, f"configuration {number}", capfd)
        wrong += [why] if why else []
        wrong += [f"configuration {number} was refused, and left {root}"] if status == 2 and root.exists() else []
        refused += status == 2
    assert wrong == []
    assert refused


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    words = ["--run.root", str(root), "--run.name", "r", "--run.images", "64", "--trainer.accelerator", "cpu"]
    assert main(["fit", "-c", "configs/vae/vae_planar.yaml", *words, "--evaluation.samples", "32"]) == 0
    return root / "r"


def test_a_mutated_checkpoint_is_loaded_or_refused_in_one_line(run, tmp_path, capfd):
    copy = shutil.copytree(run, tmp_path / "copy")
    path = copy / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    plain = {key: content[key] for key in ("hyper_parameters", "images_seen")}
    out = str(tmp_path / "x.png")
    wrong = []
    for number in range(COUNT):
        changed = mutated(plain, random.Random(number))
        torch.save({**{key: value for key, value in content.items() if key not in plain}, **_savable(changed)}, path)
        wrong.append(ends_well(["sample", str(copy), "--n", "1", "--out", out], f"checkpoint {number}", capfd)[0])
    assert [why for why in wrong if why] == []


def _savable(value):
    """Dates are no part of a checkpoint that is read with weights_only."""
    if isinstance(value, dict):
        return {key: _savable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_savable(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def test_a_mutated_run_folder_is_evaluated_or_refused_in_one_line(run, tmp_path, capfd):
    copy = shutil.copytree(run, tmp_path / "copy")
    content = yaml.safe_load((copy / "config.yaml").read_text())
    plain = {key: content[key] for key in ("data", "evaluation")}
    wrong = []
    for number in range(COUNT // 3):
        (copy / "config.yaml").write_text(yaml.safe_dump({**content, **mutated(plain, random.Random(number))}))
        words = ["evaluate", str(copy), "--samples", "0", "--weights", "1"]
        wrong.append(ends_well(words, f"run folder {number}", capfd)[0])
    assert [why for why in wrong if why] == []
