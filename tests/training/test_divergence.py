"""A NaN in mid-training destroys nothing that was good, and is reported."""

import json
import math

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.files import append_json_line, without_nan, write_json
from lightning_gen.finite import finite_weights
from lightning_gen.reading import read_rows

FAMILIES = [
    "vae/vae",
    "gan/dcgan",
    *(
        pytest.param(name, marks=pytest.mark.exhaustive)
        for name in ("flow/realnvp", "autoregressive/pixelcnn", "vae/vqvae")
    ),
]
SMALL = ["--evaluation.samples", "64", "--run.rate_images", "64", "--trainer.accelerator", "cpu"]


def fit(root, config, *more, images=640):
    run = ["--run.root", str(root), "--run.name", "x", "--run.images", str(images), "--run.save_every", "64", *SMALL]
    spoil = '{"class_path": "tests.training.faults.Spoil", "init_args": {"images": 320}}'
    words = ["--trainer.callbacks", f"[{spoil}]", "--run.evaluate_every", "128", "--trainer.log_every_n_steps", "2"]
    return main(["fit", "-c", f"configs/{config}.yaml", *run, *words, *more])


@pytest.mark.parametrize("config", FAMILIES)
def test_checkpoints_stay_those_of_before_a_nan(config, tmp_path, capsys):
    stopped = config != "gan/dcgan"  # by default a model with a likelihood stops
    assert fit(tmp_path, config) == (2 if stopped else 0)
    said = capsys.readouterr().err
    assert "divergence after 384 images" in said
    assert "lower the learning rate" in said
    for name, seen in (("last", 320), ("previous", 256)):
        checkpoint = torch.load(tmp_path / "x" / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert checkpoint["images_seen"] == seen
        assert all(v.isfinite().all() for v in checkpoint["state_dict"].values() if v.is_floating_point())
        assert all(v.isfinite().all() for v in checkpoint["ema"].values() if v.is_floating_point())
    [alarm] = [row for row in read_rows(tmp_path / "x" / "alarms.jsonl") if row["alarm"] == "divergence"]
    assert alarm["images_seen"] == 384


def test_a_run_that_goes_on_keeps_its_checkpoints_and_logs_no_number(tmp_path, capsys):
    assert fit(tmp_path, "gan/dcgan") == 0
    assert (
        "no checkpoint after 384 images: weights are not finite, last.ckpt stays that of 320" in capsys.readouterr().err
    )
    values = {
        row["images_seen"]: row["eval/fd"] for row in read_rows(tmp_path / "x" / "metrics.jsonl") if "eval/fd" in row
    }
    assert values.keys() == {128, 256, 384, 512, 640}
    assert [values[seen] is None for seen in sorted(values)] == [False, False, True, True, True]
    measured = read_rows(tmp_path / "x" / "evaluations.jsonl")
    assert [row["images_seen"] for row in measured] == [128, 256]


def test_stopping_is_by_choice(tmp_path):
    assert fit(tmp_path, "vae/vae", "--run.stop_on_divergence", "false") == 0
    assert main(["evaluate", str(tmp_path / "x"), "--samples", "64"]) == 0  # of the last finite weights


def test_evaluate_says_that_a_model_is_not_finite(tmp_path, capsys):
    assert fit(tmp_path, "gan/dcgan", images=64) == 0
    path = tmp_path / "x" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    next(v for v in checkpoint["ema"].values() if v.is_floating_point()).view(-1)[0] = math.nan
    torch.save(checkpoint, path)
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "x"), "--samples", "64"]) == 2
    assert "GAN has weights that are not finite" in capsys.readouterr().err


def test_every_task_says_that_a_model_is_not_finite(tmp_path, capsys):
    assert fit(tmp_path, "vae/vae", images=64) == 0
    path = tmp_path / "x" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    for part in ("ema", "state_dict"):
        next(v for v in checkpoint[part].values() if v.is_floating_point()).view(-1)[0] = math.nan
    torch.save(checkpoint, path)
    out = ["--out", str(tmp_path / "y")]
    for command, *words in (["evidence"], ["sample"], ["encode"], ["outliers"], ["complete"], ["compress", *out]):
        capsys.readouterr()
        assert main([command, str(tmp_path / "x"), *words]) == 2
        assert capsys.readouterr().err == (
            "lightning-gen: VAE has weights that are not finite: want one from before it diverged\n"
        )
    assert not (tmp_path / "y").exists()


def test_finite_weights_looks_at_parameters_and_buffers():
    net = torch.nn.BatchNorm2d(3)
    assert finite_weights(net)
    net.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    assert finite_weights(net)
    net.running_var[1] = math.nan
    assert not finite_weights(net)
    net = torch.nn.Linear(2, 2)
    net.weight.data[0, 1] = math.inf
    assert not finite_weights(net)


def test_no_number_that_is_not_finite_reaches_a_file(tmp_path):
    value = {"a": [math.nan, 1.0, (math.inf,)], "b": {"c": -math.inf, "d": "nan"}}
    wanted = {"a": [None, 1.0, [None]], "b": {"c": None, "d": "nan"}}
    assert without_nan(value) == wanted
    write_json(tmp_path / "a.json", value)
    append_json_line(tmp_path / "b.jsonl", value)
    assert json.loads((tmp_path / "a.json").read_text()) == read_rows(tmp_path / "b.jsonl")[0] == wanted
