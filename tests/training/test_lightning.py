"""Lightning as its users know it: their callbacks, loggers and profilers work beside ours, from the command line."""

import csv
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.reading import read_rows
from lightning_gen.training.fit import build

STEPS = ["--trainer.log_every_n_steps", "1", "--run.evaluate_every", "128"]


def fit(config, root, *more, images=320):
    run = ["--run.root", str(root), "--run.name", "x", "--run.images", str(images), "--trainer.accelerator", "cpu"]
    return main(["fit", "-c", f"configs/{config}.yaml", *run, "--evaluation.samples", "0", *more])


def rows(folder):
    return read_rows(folder / "metrics.jsonl")


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def refused(capsys, root):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert not (root / "x").exists()
    return lines[0]


def early_stopping(monitor, **more):
    words = ["--trainer.callbacks+=EarlyStopping", f"--trainer.callbacks.monitor={monitor}"]
    return [*words, *(f"--trainer.callbacks.{key}={value}" for key, value in more.items())]


def test_early_stopping_looks_at_every_evaluation(tmp_path):
    # bits/dim falls by less than 100 in each: the second evaluation is no better, the third ends the training
    stop = early_stopping("eval/bits_per_dim", patience=2, min_delta=100)
    assert fit("vae/vae", tmp_path, *STEPS, *stop, images=1280) == 0
    seen = [row["images_seen"] for row in read_rows(tmp_path / "x" / "evaluations.jsonl")]
    assert seen == [128, 256, 384]
    assert last(tmp_path / "x")["images_seen"] == 384
    assert {row["images_seen"] for row in rows(tmp_path / "x")} <= set(range(0, 385, 64))
    assert (tmp_path / "x" / "samples" / "0000000384.png").exists()


def test_early_stopping_on_a_distance_and_on_a_training_loss(tmp_path):
    (tmp_path / "a").mkdir()
    stop = early_stopping("eval/fd", patience=1, min_delta=1e6)
    assert fit("gan/dcgan", tmp_path / "a", *STEPS, *stop, "--evaluation.samples", "64", images=1280) == 0
    assert last(tmp_path / "a" / "x")["images_seen"] == 256
    stop = early_stopping("train/loss_d", stopping_threshold=1e6, check_on_train_epoch_end="true")
    assert fit("gan/dcgan", tmp_path / "b", *stop, images=6400) == 0
    assert last(tmp_path / "b" / "x")["images_seen"] == 20 * 64  # the end of the first epoch


def test_early_stopping_on_what_is_measured_at_the_end_only_is_refused(tmp_path, capsys):
    assert fit("vae/vae", tmp_path, "--run.evaluate_every", "0", *early_stopping("eval/bits_per_dim")) == 2
    assert "is measured at the end only: want --run.evaluate_every IMAGES" in refused(capsys, tmp_path)


def test_a_metric_that_does_not_exist_is_one_line_that_names_those_that_do(tmp_path, capsys):
    assert fit("vae/vae", tmp_path, *STEPS, *early_stopping("eval/bits")) == 2
    line = capsys.readouterr().err.strip()
    assert "EarlyStopping monitors eval/bits: want one of eval/bits_per_dim, " in line
    assert "\n" not in line


def test_model_checkpoint_keeps_the_best_by_our_evaluation(tmp_path):
    keep = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=eval/bits_per_dim"]
    keep += ["--trainer.callbacks.save_top_k=2", "--trainer.callbacks.filename={step}"]
    assert fit("vae/vae", tmp_path, *STEPS, *keep, images=640) == 0
    folder = tmp_path / "x" / "checkpoints"
    found = {p.name for p in folder.iterdir()}
    best = {f"step={row['images_seen'] // 64}.ckpt" for row in _two_best(tmp_path / "x")}
    assert found == best | {"last.ckpt", "previous.ckpt", "best.ckpt"}
    assert all(torch.load(folder / name, weights_only=True)["images_seen"] for name in best)


def _two_best(folder):
    found = read_rows(folder / "evaluations.jsonl")
    return sorted(found, key=lambda row: row["metrics"]["bits_per_dim"]["value"])[:2]


def test_loggers_of_the_user_get_every_row(tmp_path):
    logger = ["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={tmp_path}/csv"]
    for config, name in (("vae/vae", "train/bits_per_dim"), ("gan/dcgan", "train/loss_d")):
        assert fit(config, tmp_path / name, *STEPS, *logger, f"--trainer.logger.name={config}") == 0
        [path] = (tmp_path / "csv" / config).rglob("metrics.csv")
        found = [(row["step"], float(row[name])) for row in csv.DictReader(path.open()) if row.get(name)]
        ours = [row[name] for row in rows(tmp_path / name / "x") if name in row]
        assert found == [(str(i + 1), pytest.approx(value)) for i, value in enumerate(ours)]
        assert len(ours) == 5


def test_monitors_of_lightning_log_into_the_run_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "psutil", SimpleNamespace(virtual_memory=_memory, swap_memory=_memory, cpu_percent=lambda: 1.0)
    )
    monkeypatch.setattr("lightning.pytorch.callbacks.device_stats_monitor._PSUTIL_AVAILABLE", True)
    monkeypatch.setattr("lightning.pytorch.accelerators.cpu._PSUTIL_AVAILABLE", True)
    monitors = ["--trainer.callbacks+=LearningRateMonitor", "--trainer.callbacks+=DeviceStatsMonitor"]
    assert fit("gan/dcgan", tmp_path, *STEPS, *monitors) == 0
    names = {name for row in rows(tmp_path / "x") for name in row}
    assert {"lr-Adam", "lr-Adam-1", "train/loss_d"} <= names
    assert any(name.startswith("DeviceStatsMonitor") for name in names)


def _memory():
    return SimpleNamespace(percent=1.0)


def test_a_callback_without_its_package_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lightning.pytorch.callbacks.device_stats_monitor._PSUTIL_AVAILABLE", False)
    assert fit("gan/dcgan", tmp_path, "--trainer.callbacks+=DeviceStatsMonitor") == 2
    line = capsys.readouterr().err.strip()
    assert "psutil" in line
    assert "\n" not in line


def timeless(row):
    return {key: value for key, value in row.items() if key != "seconds" and not key.startswith("speed/")}


def test_a_run_with_foreign_rows_is_resumed_without_a_doubled_one(tmp_path):
    words = ["--trainer.callbacks+=LearningRateMonitor", "--run.save_every", "64", "--run.resume", "changed", *STEPS]
    assert fit("vae/vae", tmp_path / "whole", *words, images=640) == 0
    for images in (192, 640):
        assert fit("vae/vae", tmp_path / "parts", *words, images=images) == 0
    whole, parts = ([timeless(r) for r in rows(tmp_path / n / "x")] for n in ("whole", "parts"))
    assert [row for row in whole if "lr-Adam" in row] == [row for row in parts if "lr-Adam" in row]
    assert [row for row in whole if "train/bits_per_dim" in row] == [r for r in parts if "train/bits_per_dim" in r]


@pytest.mark.parametrize("profiler", ["simple", "pytorch"])
def test_a_profiler_reports(profiler, tmp_path, caplog):
    assert fit("vae/vae", tmp_path, f"--trainer.profiler={profiler}", images=192) == 0
    assert "profiler report" in caplog.text.lower()
    assert "weights_only" not in caplog.text  # Lightning's own words stay hidden


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--trainer.gradient_clip_val=0.5"],
            "trainer.gradient_clip_val is 0.5: GAN steps its own optimizers, want model.training.clip",
        ),
        (["--trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches is 2: GAN steps its own"),
        (["--trainer.gradient_clip_algorithm=value"], "trainer.gradient_clip_algorithm is value: GAN steps its own"),
        (["--trainer.strategy=ddp_spawn", "--trainer.devices=2"], "trainer.strategy is ddp_spawn: want auto, ddp"),
        (["--trainer.enable_checkpointing=false"], "trainer.enable_checkpointing is False: want True"),
        (["--trainer.plugins=TorchCheckpointIO"], "trainer.plugins"),
        (["--trainer.barebones=true"], "trainer.barebones is True: want False"),
        (["--trainer.precision=64-true"], "trainer.precision is 64-true: want 32-true, bf16-mixed or 16-mixed"),
        (["--trainer.precision=64"], "trainer.precision is 64: want 32-true"),
        (["--trainer.precision=bf16-true"], "trainer.precision is bf16-true: want 32-true"),
        (["--trainer.precision=16-true"], "trainer.precision is 16-true: want 32-true"),
        (["--trainer.precision=transformer-engine"], "trainer.precision is transformer-engine: want 32-true"),
        (["--trainer.plugins=lightning.pytorch.plugins.DoublePrecision"], "trainer.precision is 64-true"),
    ],
)
def test_what_a_run_cannot_have_is_refused_before_anything_is_written(words, line, tmp_path, capsys):
    assert fit("gan/dcgan", tmp_path, *words) == 2
    assert line in refused(capsys, tmp_path)


def test_clipping_and_accumulation_work_where_lightning_optimizes(tmp_path):
    words = ["--trainer.gradient_clip_val=1", "--trainer.accumulate_grad_batches=2", *STEPS]
    assert fit("vae/vae", tmp_path, *words) == 0
    assert last(tmp_path / "x")["images_seen"] == 320


@pytest.mark.parametrize(
    ("config", "words", "images"),
    [
        ("vae/vae", ["--trainer.max_epochs=2"], 2 * 20 * 64),
        ("vae/vae", ["--trainer.max_steps=3"], 3 * 64),
        ("gan/dcgan", ["--trainer.max_steps=6"], 3 * 64),  # one step of each player in a batch
        ("vae/vae", ["--trainer.limit_train_batches=2", "--trainer.max_epochs=2"], 4 * 64),
    ],
)
def test_a_run_ends_where_lightning_is_told_to_end_it(config, words, images, tmp_path):
    assert fit(config, tmp_path, "--trainer.log_every_n_steps", "1000", *words, images=6400) == 0
    folder = tmp_path / "x"
    assert last(folder)["images_seen"] == images
    assert {row["images_seen"] for row in rows(folder)} == {images}
    assert any(name.startswith("train/") for name in rows(folder)[-1] | rows(folder)[0])
    assert (folder / "samples" / f"{images:010d}.png").exists()


def test_averages_and_environments_of_lightning_work_beside_ours(tmp_path, capsys):
    places = "lightning.pytorch.plugins.environments.LightningEnvironment"
    average = "lightning.pytorch.callbacks.EMAWeightAveraging"
    words = ["--trainer.plugins", places, "--trainer.callbacks", average, "--trainer.max_epochs=1"]
    assert fit("vae/vae", tmp_path, *words, images=128) == 0
    assert last(tmp_path / "x")["images_seen"] == 128
    capsys.readouterr()
    stochastic = ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"]
    for device, why in (([], "device(type='cpu'), which no file can"), (["cpu"], "max_epochs=-1")):
        stochastic += [f"--trainer.callbacks.device={name}" for name in device]
        assert fit("vae/vae", tmp_path / "b", *stochastic) == 2
        assert why in capsys.readouterr().err
    assert fit("vae/vae", tmp_path / "c", *stochastic, "--trainer.max_epochs=2", images=128) == 0


def test_no_epochs_train_nothing(tmp_path, capsys):
    assert fit("vae/vae", tmp_path, "--trainer.max_epochs=0") == 0
    assert "0 images seen" in capsys.readouterr().out


def test_callback_metrics_hold_losses_and_evaluation(tmp_path):
    run = ["--run.root", str(tmp_path), "--run.images", "128", "--trainer.accelerator", "cpu"]
    cli = build(["-c", "configs/vae/vae.yaml", *run, "--evaluation.samples", "64"])
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    found = cli.trainer.callback_metrics
    assert {"train/bits_per_dim", "eval/bits_per_dim", "eval/fd", "eval/rate"} <= found.keys()
    assert all(isinstance(value, torch.Tensor) for value in found.values())


@pytest.mark.parametrize("value", ["1", "0"])
def test_the_environment_stays_as_it_was(value, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", value)
    assert fit("vae/vae", tmp_path, images=64) == 0
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == value
