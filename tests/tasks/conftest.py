"""Runs of a batch or two, each trained once for all files of this folder: tests may add to them, and change nothing in
them."""

import pytest
import torch

from lightning_gen.config.cli import main

TINY = [f"--model.init_args.{net}.init_args.width=4" for net in ("generator", "discriminator")]


@pytest.fixture(scope="session")
def fit(tmp_path_factory):
    """fit(config, *words) -> the folder of a run of ``configs/CONFIG.yaml``, of one batch unless the words say more."""

    def fit(config, *words):
        root = tmp_path_factory.mktemp("runs")
        place = ["--run.root", str(root), "--run.name", "run", "--run.images", "64"]
        few = ["--trainer.accelerator", "cpu", "--evaluation.samples", "0"]
        assert main(["fit", "-c", f"configs/{config}.yaml", *place, *few, *words]) == 0
        return root / "run"

    return fit


def _loud(run):
    """The run, its weights made large: of networks fresh from their start all images are alike."""
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    for room in ("state_dict", "ema"):
        for value in checkpoint[room].values():
            if value.is_floating_point() and value.ndim > 1:
                value.mul_(0.3 / value.std())
    torch.save(checkpoint, path)
    return run


@pytest.fixture(scope="session")
def gan(fit):
    return _loud(fit("gan/dcgan", *TINY))


@pytest.fixture(scope="session")
def cgan(fit):
    return _loud(fit("gan/cgan", *TINY))


@pytest.fixture(scope="session")
def shapes(fit):
    """A GAN conditioned on the class of a coloured shape."""
    words = ["-c", "configs/data/shapes16.yaml", "--data.init_args.images", "256", *TINY]
    return _loud(fit("gan/cgan", *words))


@pytest.fixture(scope="session")
def vae(fit):
    return _loud(fit("vae/vae"))
