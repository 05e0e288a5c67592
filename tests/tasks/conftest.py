"""Runs of a batch or two, each trained once for all files of this folder: tests may add to them, and change nothing in
them."""

from functools import partial

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.evaluation import readers

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


@pytest.fixture(scope="session")
def axes_run(tmp_path_factory):
    """A StyleGAN2 of a batch, on coloured shapes with attributes, and its axes."""
    root = tmp_path_factory.mktemp("faces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTNING_GEN_CACHE", str(root / "cache"))
        patch.setattr(readers, "fit_reader", partial(readers.fit_reader, epochs=0, least=20))
        words = ["fit", "-c", "configs/gan/stylegan2_shapes.yaml", "--run.root", str(root), "--run.name", "r"]
        words += ["--run.images", "32", "--trainer.accelerator", "cpu", "--evaluation.samples", "0"]
        words += ["--data.init_args.images", "400"]
        for part in ("generator", "discriminator"):
            words += [f"--model.init_args.{part}.init_args.{key}=8" for key in ("width", "most")]
        assert main(words) == 0
        few = ["--draws", "128", "--pictures", "3", "--unnamed", "2"]
        assert main(["axes", str(root / "r"), *few, "--examples", "bright", "1,2", "3"]) == 0
        yield root / "r"
