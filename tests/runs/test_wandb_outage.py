"""W&B falls silent, or its connections drop, in the middle of a run: training goes on, and a later sync sends all."""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb

from lightning_gen.config.cli import main
from lightning_gen.reading import read_rows
from lightning_gen.runs import wandb as mirror_module
from lightning_gen.runs.wandb import WandbMirror
from tests.runs.server import Server

FIT = ["fit", "-c", "configs/vae/vae.yaml", "--run.name", "r", "--run.images", "2560", "--run.wandb", "WandbMirror"]
SMALL = ["--evaluation.samples", "0", "--trainer.accelerator", "cpu", "--trainer.log_every_n_steps", "1"]


@pytest.mark.parametrize("state", ["silent", pytest.param("down", marks=pytest.mark.exhaustive)])
def test_nothing_is_lost_when_the_server_fails_in_mid_run(state, tmp_path, monkeypatch, capfd):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    wandb.teardown()  # its service would still know the server of the test before
    with Server(state, after=5) as server:
        settings = {"BASE_URL": server.url, "API_KEY": "a" * 40, "ERROR_REPORTING": "false"}
        for name, value in {**settings, "X_FILE_STREAM_TRANSMIT_INTERVAL": "0.1"}.items():
            monkeypatch.setenv(f"WANDB_{name}", value)
        monkeypatch.setattr(mirror_module, "_END", 1.0)
        log = WandbMirror.log_metrics

        def wait_for_the_outage(mirror, *arguments, **more):
            log(mirror, *arguments, **more)
            end = time.monotonic() + 30
            while mirror.module.images_seen == 640 and server.state == "up" and time.monotonic() < end:
                time.sleep(0.05)

        monkeypatch.setattr(WandbMirror, "log_metrics", wait_for_the_outage)
        assert main([*FIT, "--run.root", str(tmp_path), *SMALL]) == 0
        rows = read_rows(tmp_path / "r" / "metrics.jsonl")
        assert rows[-1]["images_seen"] == 2560
        assert server.refused
        assert server.exit is None  # it does not know that the run has ended
        [command] = re.findall(r"nothing is lost: (wandb sync .*)", capfd.readouterr().err)

        server.state = "up"
        words = shlex.split(command)
        subprocess.run([Path(sys.executable).with_name(words[0]), *words[1:]], check=True, capture_output=True)
        sent = [row for _, row in sorted(server.rows.items())]
        assert server.exit == 0

    def curve(found):
        return [(r["images_seen"], r["train/bits_per_dim"]) for r in found if "train/bits_per_dim" in r]

    assert curve(sent) == curve(rows)
    assert len(curve(rows)) == 40
