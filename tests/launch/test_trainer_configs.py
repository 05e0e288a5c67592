"""The trainer files: each is what it says, as far as a machine without accelerators can tell."""

from pathlib import Path

import pytest
import torch
import yaml

from lightning_gen.config.cli import main

FILES = sorted(Path("configs/trainer").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_trainer_file_holds_a_trainer_only_and_says_what_for(path):
    assert path.read_text().startswith("# ")
    content = yaml.safe_load(path.read_text())
    assert list(content) == ["trainer"]
    assert content["trainer"]["accelerator"] in ("cpu", "gpu")


def test_fsdp_refuses_a_model_with_two_players_before_anything_is_written(capsys, tmp_path):
    words = ["-c", "configs/trainer/fsdp_sim.yaml", "-c", "configs/gan/dcgan.yaml", "--run.root", str(tmp_path)]
    assert main(["fit", *words]) == 2
    line = capsys.readouterr().err.strip().splitlines()
    assert line == [
        "lightning-gen: trainer.strategy is FullySharded: GAN has two players in one step, want strategy ddp"
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="accelerators are here")
def test_fsdp_without_accelerators_is_one_plain_line(capsys, tmp_path):
    words = ["-c", "configs/trainer/fsdp.yaml", "-c", "configs/vae/vae.yaml", "--run.root", str(tmp_path)]
    assert main(["fit", *words]) == 2
    line = capsys.readouterr().err.strip().splitlines()
    assert len(line) == 1
    assert "want a trainer that this machine has" in line[0]
    assert not list(tmp_path.iterdir())
