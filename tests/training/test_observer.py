"""What watches a training leaves it as it is, and costs it no checkpoint."""

import pytest
import torch
from PIL import Image

from lightning_gen.config.cli import main
from lightning_gen.reading import read_rows
from lightning_gen.training.callbacks.evaluate import Evaluate
from lightning_gen.training.observer import eval_mode

SMALL = ["--trainer.accelerator", "cpu", "--run.images", "640", "--run.name", "x", "--run.rate_images", "64"]
NEVER = ["--run.evaluate_every", "0", "--run.grid_every", "0", "--run.health_every", "0", "--evaluation.samples", "0"]
OFTEN = ["--run.evaluate_every", "128", "--run.grid_every", "128", "--run.health_every", "128"]


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize(
    "config",
    [
        "gan/dcgan",
        *(
            pytest.param(name, marks=pytest.mark.exhaustive)
            for name in ("flow/glow_label", "gan/acgan", "vae/vae", "vae/vqvae")
        ),
    ],
)
def test_weights_are_the_same_whether_they_are_watched_or_not(config, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "cache"))  # the features are learned here
    states = []
    for name, words in (("never", NEVER), ("often", [*OFTEN, "--evaluation.samples", "128"])):
        assert main(["fit", "-c", f"configs/{config}.yaml", "--run.root", str(tmp_path / name), *SMALL, *words]) == 0
        states.append(last(tmp_path / name / "x"))
    a, b = states
    assert all(torch.equal(a["state_dict"][name], b["state_dict"][name]) for name in a["state_dict"])
    assert torch.equal(a["ranks"][0]["random"]["torch"], b["ranks"][0]["random"]["torch"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("config", ["gan/dcgan", "vae/vae"])
def test_weights_are_the_same_on_a_gpu_too(config, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "cache"))
    states = []
    for name, words in (("never", NEVER), ("often", [*OFTEN, "--evaluation.samples", "128"])):
        place = ["--run.root", str(tmp_path / name), "--run.name", "x", "--run.images", "1024"]
        gpu = ["--trainer.accelerator", "gpu", "--trainer.deterministic", "warn"]
        assert main(["fit", "-c", f"configs/{config}.yaml", *place, *gpu, *words]) == 0
        states.append(last(tmp_path / name / "x"))
    a, b = states
    assert all(torch.equal(a["state_dict"][name], b["state_dict"][name]) for name in a["state_dict"])


def test_a_measurement_that_fails_costs_no_checkpoint(tmp_path, monkeypatch, capsys):
    def fail(self, trainer, module):
        raise OSError("the disk of the features has gone")

    monkeypatch.setattr(Evaluate, "_evaluate", fail)
    words = ["--run.root", str(tmp_path), *SMALL, "--evaluation.samples", "0"]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *words, "--run.evaluate_every", "128"]) == 2
    assert "the disk of the features has gone" in capsys.readouterr().err
    assert last(tmp_path / "x")["images_seen"] == 128
    monkeypatch.undo()
    assert main(["fit", "-c", "configs/vae/vae.yaml", *words, "--run.resume", "changed"]) == 0
    assert last(tmp_path / "x")["images_seen"] == 640


@pytest.mark.parametrize("count", [3, 12])
def test_a_folder_of_few_pictures_is_trained_on_to_its_end(count, tmp_path):
    (tmp_path / "pictures").mkdir()
    for i in range(count):
        pixels = torch.randint(256, (8, 8), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(tmp_path / "pictures" / f"{i}.png")
    data = ["--data", "lightning_gen.data.folders.ImageFolder", "--data.init_args.root", str(tmp_path / "pictures")]
    words = ["--run.root", str(tmp_path), "--run.name", "x", "--run.images", "32", "--trainer.accelerator", "cpu"]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *data, "--data.init_args.batch_size", "1", *words]) == 0
    assert last(tmp_path / "x")["images_seen"] == 32
    assert all(isinstance(row, dict) for row in read_rows(tmp_path / "x" / "metrics.jsonl"))


def test_each_part_is_back_in_its_own_mode():
    frozen = torch.nn.Dropout().eval()
    net = torch.nn.Sequential(frozen, torch.nn.Dropout()).train()
    frozen.eval()
    with eval_mode(net):
        assert not any(part.training for part in net.modules())
    assert (net.training, frozen.training, net[1].training) == (True, False, True)
