"""Signals, two trainings in one folder, damaged checkpoints, a full disk: what can be done is said, nothing is lost."""

import errno
import os
import signal
import subprocess
import sys

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.errors import UserError
from lightning_gen.files import append_json_line
from lightning_gen.reading import read_rows
from lightning_gen.runs.lock import hold
from lightning_gen.training.checkpoint_io import newest_valid

SMALL = ["--evaluation.samples", "0", "--run.rate_images", "64", "--trainer.accelerator", "cpu"]


def words(root, images=320):
    run = ["--run.root", str(root), "--run.name", "x", "--run.images", str(images), "--run.save_every", "64"]
    return ["fit", "-c", "configs/vae/vae.yaml", *run, *SMALL]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_a_training_with_its_checkpoint_and_a_word(number, tmp_path, capsys):
    send = f'[{{"class_path": "tests.training.faults.Send", "init_args": {{"number": {int(number)}, "images": 128}}}}]'
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        pytest.skip("this signal is ignored here, as for what a shell starts in the background")
    with pytest.raises(SystemExit) as stop:
        main([*words(tmp_path), "--trainer.callbacks", send])
    assert stop.value.code == 128 + number
    assert (
        f"{number.name} after 192 images: checkpoint written, go on with --run.resume same" in capsys.readouterr().err
    )
    assert torch.load(tmp_path / "x" / "checkpoints" / "last.ckpt", weights_only=True)["images_seen"] == 192
    assert signal.getsignal(number) == before


def test_one_process_holds_a_run_and_the_other_says_who(tmp_path, capsys):
    assert main(words(tmp_path)) == 0
    rows = (tmp_path / "x" / "metrics.jsonl").read_bytes()
    code = "import sys, pathlib; from lightning_gen.runs.lock import hold\n"
    code += f"with hold(pathlib.Path({str(tmp_path / 'x')!r})):\n    print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        capsys.readouterr()
        assert main([*words(tmp_path, 640), "--run.resume", "changed"]) == 2
        assert f"is being trained by process {other.pid} on " in capsys.readouterr().err
        other.stdin.close()
    assert (tmp_path / "x" / "metrics.jsonl").read_bytes() == rows
    assert main([*words(tmp_path, 640), "--run.resume", "changed"]) == 0
    assert not (tmp_path / "x" / ".lock").exists()


def test_a_lock_is_let_go_of_at_the_end(tmp_path):
    for _ in range(2):
        with hold(tmp_path / "run"), pytest.raises(UserError, match="is being trained by process"):  # noqa: SIM117
            with hold(tmp_path / "run"):
                pass


def test_where_all_checkpoints_are_damaged_nothing_is_dropped(tmp_path, capsys):
    assert main(words(tmp_path)) == 0
    folder = tmp_path / "x"
    before = {name: (folder / name).read_bytes() for name in ("metrics.jsonl", "config.yaml", "evaluations.jsonl")}
    for name in ("last", "previous"):
        path = folder / "checkpoints" / f"{name}.ckpt"
        content = path.read_bytes()
        path.unlink()  # best.ckpt may be the same file
        path.write_bytes(content[:-100])
    capsys.readouterr()
    assert main([*words(tmp_path), "--run.resume", "same"]) == 2
    line = capsys.readouterr().err
    assert "last.ckpt and previous.ckpt damaged: want a copy of" in line
    assert "best.ckpt as last.ckpt, or another run.name" in line
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_full_disk_leaves_a_file_of_rows_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    append_json_line(path, {"a": 1})
    before = path.read_bytes()

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for place in (path, tmp_path / "new.jsonl"):
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            append_json_line(place, {"b": 2})
    assert path.read_bytes() == before
    assert not (tmp_path / "new.jsonl").exists()
    assert read_rows(path) == [{"a": 1}]


def test_a_checkpoint_of_holes_is_not_hashed(tmp_path):
    with open(tmp_path / "last.ckpt", "wb") as stream:
        stream.truncate(1 << 40)
    assert newest_valid(tmp_path) == (None, [tmp_path / "last.ckpt"])
