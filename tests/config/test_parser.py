"""The command line of `fit`: errors of ours pass, arguments win over files, secrets stay out of files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lightning_gen.config.cli import main
from lightning_gen.config.trust import VARIABLE
from lightning_gen.errors import UserError
from lightning_gen.training.fit import build
from tests.config.hostile import VECTORS, aimed, watched

#: arguments -> what our own constructor says of them, deep inside a configuration
REASONS = {
    "a conditional model on a set without labels": (
        ["-c", "configs/gan/cgan.yaml", "--data", "lightning_gen.data.toy.ToyWorld"],
        "data has no classes",
    ),
    "a conditional flow on a set without labels": (
        ["-c", "configs/flow/glow_label.yaml", "--data", "lightning_gen.data.toy.ToyWorld"],
        "data has no classes",
    ),
    "an odd side": (["-c", "configs/flow/glow.yaml", "--data", "lightning_gen.data.toy.ToyWorld"], "want"),
    "a count of nothing": (["-c", "configs/gan/dcgan.yaml", "--model.init_args.latent_dim", "0"], "want 1 or more"),
    "layers without end": (
        ["-c", "configs/flow/glow.yaml", "--model.init_args.bijection.init_args.steps", "1000000000"],
        "bijection.init_args.steps is 1000000000: want at most 1024",
    ),
    "weights without end": (
        ["-c", "configs/vae/vae.yaml", "--evaluation.weights", "1000000000"],
        "evaluation.weights is 1000000000: want at most 100000",
    ),
    "samples without end": (
        ["-c", "configs/vae/vae.yaml", "--evaluation.samples", "2147483648"],
        "evaluation.samples is 2147483648: want at most 10000000",
    ),
    "a schedule that ends before it starts": (
        [
            *("-c", "configs/vae/vae.yaml", "--model.init_args.schedule", "lightning_gen.schedules.LinearDecay"),
            *("--model.init_args.schedule.init_args.end=5", "--model.init_args.schedule.init_args.start=9"),
        ],
        "schedule.end is 5: want more than schedule.start, 9",
    ),
    "an average beyond one": (["-c", "configs/vae/vae.yaml", "--run.ema", "1.5"], "run.ema is 1.5: want 0 to 1"),
    "a split that is none": (["-c", "configs/vae/vae.yaml", "--evaluation.split", "all"], "one of train, val, test"),
    "a rate below nothing": (
        ["-c", "configs/vae/vae.yaml", "--model.init_args.optimizer.init_args.lr=-1"],
        "Invalid learning rate",
    ),
    "a callback that is none": (
        ["-c", "configs/vae/vae.yaml", "--trainer.callbacks", "X"],
        "trainer.callbacks.class_path is 'X'",
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_the_true_reason_is_shown(case, tmp_path, capsys):
    words, reason = REASONS[case]
    assert main(["fit", *words, "--run.root", str(tmp_path), "--trainer.accelerator", "cpu"]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert (said.count("\n"), "Union" in said, "Namespace" in said) == (1, False, False), said
    assert not any(tmp_path.iterdir())


def test_arguments_win_over_files_wherever_they_stand():
    words = ["--run.name", "early", "--config=configs/vae/vae.yaml", "--run.images=77", "-c", "configs/vae/vae.yaml"]
    run = build([*words, "--trainer.accelerator", "cpu"]).config_init.run
    assert (run.name, run.images) == ("early", 77)


@pytest.mark.parametrize("vector", sorted(VECTORS.keys() - {"stray keys"}))  # the library has its own, of a nested file
def test_a_training_builds_only_what_is_wanted(vector, tmp_path, capsys, monkeypatch):
    """What the user configures may come from any package, but is a class, of the kind that the argument wants."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "planted.py").write_text("class Net: pass\n")
    value = aimed(VECTORS[vector], str(tmp_path / "PROOF"))
    content = yaml.safe_load(Path("configs/vae/vae.yaml").read_text())
    place = ("decoder", "optimizer")[len(vector) % 2]
    model = {**content["model"], "init_args": {**content["model"]["init_args"], place: value}}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump({**content, "model": model}))
    with watched() as seen:
        assert main(["fit", "-c", str(tmp_path / "x.yaml"), "--run.root", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert [act for act in seen if str(tmp_path) in act or "os.system" in act] == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["planted.py", "x.yaml"]


def test_values_of_the_environment_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBER", "16")
    monkeypatch.setenv("SECRET_TOKEN", "s3cr3t")
    content = yaml.safe_load(Path("configs/vae/vae.yaml").read_text())
    content["data"].setdefault("init_args", {})["batch_size"] = "${oc.env:NUMBER}"
    content["run"] = {"images": 32, "root": str(tmp_path)}
    secret = "${oc.env:SECRET_TOKEN}"
    content["run"]["wandb"] = {
        "class_path": "lightning_gen.runs.wandb.WandbMirror",
        "init_args": {
            "mode": "disabled",
            "tags": ["a", "${oc.env:SECRET_TOKEN}"],
            "project": "p-${oc.env:SECRET_TOKEN}",
        },
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    words = ["fit", "-c", str(tmp_path / "x.yaml"), "--evaluation.samples=0", "--trainer.accelerator=cpu"]
    assert main([*words, "--run.name", "r"]) == 0
    written = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    assert written["data"]["init_args"]["batch_size"] == "${oc.env:NUMBER}"
    assert written["run"]["wandb"]["init_args"]["tags"] == ["a", secret]
    for path in (tmp_path / "r").rglob("*"):
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes(), path
    # The run reads the environment again.
    assert main(["evaluate", str(tmp_path / "r"), "--split", "val"]) == 0
    assert main([*words, "--run.name", "r", "--run.resume", "same", "--run.images", "32"]) == 0
    # A model that the environment shapes could not be rebuilt from its checkpoint.
    assert main([*words, "--run.name", "s", "--model.init_args.latent_dim", "${oc.env:NUMBER}"]) == 2
    monkeypatch.delenv("NUMBER")
    assert main([*words, "--run.name", "t"]) == 2


def test_a_variable_in_an_address_is_refused_in_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SECRET_TOKEN", "s3cr3t")
    data = {"class_path": "lightning_gen.data.streamed.ShardedImages", "init_args": {}}
    for root in ("https://x/${oc.env:SECRET_TOKEN}", "${host}"):
        data["init_args"]["root"] = root
        (tmp_path / "x.yaml").write_text(yaml.safe_dump({"data": data, "host": "https://x/${oc.env:SECRET_TOKEN}"}))
        assert main(["pack", str(tmp_path / "x.yaml"), "--out", str(tmp_path / "o")]) == 2
        said = capsys.readouterr().err
        assert "makes an address of" in said
        assert "s3cr3t" not in said


def test_where_the_variable_is_set_a_training_keeps_to_what_is_trusted(tmp_path):
    (tmp_path / "mine.py").write_text(
        "open('PROOF', 'w').close()\nfrom lightning_gen.data.digits import Digits\nclass Mine(Digits): pass\n"
    )
    words = [sys.executable, "-m", "lightning_gen", "fit", "-c", os.path.abspath("configs/vae/vae.yaml")]
    words += ["--data=mine.Mine", "--run.images=0"]
    environment = {**os.environ, "PYTHONPATH": f"{os.getcwd()}:{tmp_path}"}
    for trusted, proof in (("", False), ("mine", True)):
        place = {"cwd": tmp_path, "env": {**environment, VARIABLE: trusted}}
        done = subprocess.run(words, capture_output=True, text=True, **place)
        assert done.returncode == 2
        assert ("run.images is 0" in done.stderr) is proof, done.stderr
        assert (tmp_path / "PROOF").exists() is proof


def test_a_class_of_a_user_whose_constructor_fails_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "failing.py").write_text(
        "from lightning_gen.data.digits import Digits\n"
        "class Failing(Digits):\n    def __init__(self):\n        raise KeyError('a bug of mine')\n"
    )
    with pytest.raises(KeyError, match="a bug of mine"):
        build(["-c", "configs/vae/vae.yaml", "--data=failing.Failing"])


def test_errors_told_apart_by_type_pass_through_factories():
    with pytest.raises(UserError, match="data has no classes"):
        build(REASONS["a conditional model on a set without labels"][0])
    assert torch.get_default_dtype() == torch.float32
