"""The mirror is read back with W&B's own reader; its failures never reach a training."""

import json
import os
import subprocess
import sys
import wave
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_gen.config.cli import main
from lightning_gen.errors import UserError
from lightning_gen.runs import wandb as mirror_module
from lightning_gen.runs.wandb import WandbMirror


@pytest.fixture(autouse=True)
def account(monkeypatch, tmp_path):
    """No key of whoever runs the tests, and no network."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def mirror_of(folder, **arguments):
    mirror = WandbMirror(**arguments)
    mirror.attach(folder, SimpleNamespace(images_seen=0))
    return mirror


def train(mirror, values):
    for i, value in enumerate(values):
        mirror.module.images_seen = 640 * i
        mirror.log_metrics({"train/bits_per_dim": value, "epoch": 0}, step=i)
    mirror.finalize("success")


def records(folder):
    """What ``wandb leet inspect`` finds in the newest log, by type."""
    log = max(folder.glob("wandb/*run-*/*.wandb"))
    command = [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", log]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {}
    for record in map(json.loads, lines):
        found.setdefault(record["type"], []).append(record[record["type"]])
    return found


def test_an_offline_run_holds_everything_and_goes_on_under_its_id(make_run):
    folder = make_run("a", latent_dim=7)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"weights")
    mirror = mirror_of(folder, tags=["first"], checkpoints=True)
    mirror.log_image("samples", folder / "samples" / "0000003000.png", 3000)
    with wave.open(str(folder / "samples" / "0000003000.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    mirror.log_sound("melody", folder / "samples" / "0000003000.wav", 3000)
    train(mirror, [3.0, float("nan"), 2.0, 2.5])
    found = records(folder)

    [run] = found["run"]
    assert run["config"]["update"]["model"]["init_args"]["latent_dim"] == 7
    assert run["config"]["update"]["facts"]["commit"] == "9eb3950"
    assert (run["project"], run["display_name"], run["tags"]) == ("lightning-gen", "a", ["first"])

    axes = {metric.get("name", metric.get("glob_name")): metric.get("step_metric") for metric in found["metric"]}
    assert axes["*"] == axes["train/bits_per_dim"] == "images_seen"
    rows = [entry["item"] for entry in found["history"]]
    curve = [(row["images_seen"], row["train/bits_per_dim"]) for row in rows if "train/bits_per_dim" in row]
    assert curve == [(0, 3), (1280, 2), (1920, 2.5)]
    assert [row["images_seen"] for row in rows if "not_finite/train/bits_per_dim" in row] == [640]
    summary = [s["update"]["train/bits_per_dim"] for s in found["summary"] if "train/bits_per_dim" in s["update"]]
    assert summary[-1] == {"last": 2.5, "min": 2}

    [picture] = [row for row in rows if "samples.path" in row]
    assert (picture["images_seen"], picture["samples.caption"]) == (3000, "3,000 images seen")
    assert list(folder.glob("wandb/offline-run-*/files/media/images/samples_*.png"))
    assert list(folder.glob("wandb/offline-run-*/files/media/audio/melody_*.wav"))
    [artifact] = found["artifact"]
    [content] = artifact["manifest"]["contents"]
    assert (content["path"], Path(content["local_path"])) == ("last.ckpt", folder / "checkpoints" / "last.ckpt")
    assert found["exit"][0].get("exit_code", 0) == 0

    train(mirror_of(folder), [1.0])
    assert len({path.stem for path in folder.glob("wandb/offline-run-*/*.wandb")}) == 1


def test_a_server_that_cannot_be_reached_makes_it_an_offline_run(make_run, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr(mirror_module, "_START", 1.0)
    folder = make_run("a")
    mirror = mirror_of(folder)
    assert mirror.mode == "online"
    train(mirror, [1.0, 2.0])
    assert "cannot be reached, the run is kept offline" in capsys.readouterr().err
    assert len(list(folder.glob("wandb/offline-run-*/*.wandb"))) == 1


def test_a_failure_is_one_line_and_the_end_of_the_mirror_only(make_run, monkeypatch, capsys):
    def fail(**_):
        raise RuntimeError("no such\nservice")

    monkeypatch.setattr(wandb, "init", fail)
    train(mirror_of(make_run("a")), [1.0, 2.0, 3.0])
    assert capsys.readouterr().err == ("lightning-gen: W&B failed, training goes on without it: no such service\n")


def test_a_training_goes_on_without_it(tmp_path, monkeypatch, capsys):
    def fail(**_):
        raise OSError("no space left")

    monkeypatch.setattr(wandb, "init", fail)
    arguments = ["--run.root", str(tmp_path), "--run.images", "200", "--run.wandb.mode", "offline"]
    none = ["--evaluation.split", "val", "--evaluation.samples", "10"]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *arguments, *none]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("W&B failed, training goes on without it: no space left") == 1
    assert (tmp_path / "vae" / "checkpoints" / "last.ckpt").is_file()


def test_other_processes_and_disabled_mirrors_write_nothing(make_run, monkeypatch):
    folder = make_run("a")
    train(mirror_of(folder, mode="disabled"), [1.0])
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    train(mirror_of(folder), [1.0])
    assert not (folder / "wandb").exists()


def test_online_wants_a_key_and_auto_does_without(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="want a key"):
        WandbMirror(mode="online")
    assert WandbMirror().mode == "offline"
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password x\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert WandbMirror().mode == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert WandbMirror().mode == "disabled"
