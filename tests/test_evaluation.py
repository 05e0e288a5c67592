"""The protocol: the same number in training and afterwards, in one process and in two, nothing dropped."""

import json
import math

import pytest
import torch
from torch import multiprocessing

from lightning_gen.base import LikelihoodModule
from lightning_gen.cli import main
from lightning_gen.data.digits import Digits
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Evaluation, bits_per_dim
from lightning_gen.files import read_json_lines
from lightning_gen.images import ImageSpec
from lightning_gen.loading import load_module

CPU = ["--trainer.accelerator", "cpu"]


class Uniform(LikelihoodModule):
    """Knows the answer: every level has probability 1 / levels; draws of a bound differ by known weights."""

    bound = "elbo"

    def __init__(self, spec: ImageSpec, bad: int = -1) -> None:
        super().__init__(spec, torch.optim.SGD)
        self.bad, self.draws = bad, 0

    def log_prob(self, image, condition=None):
        self.draws += 1
        out = torch.full((len(image),), -self.spec.dims * math.log(self.spec.levels), dtype=torch.float64)
        out += torch.randn(len(image)) if self.bad == -1 else 0.0
        if self.bad >= 0:
            out[image.flatten(1).sum(1) > self.bad] = -math.inf
        return out

    def sample(self, n, condition=None, temperature=1.0, generator=None):
        return torch.randint(self.spec.levels, (n, *self.spec.shape), generator=generator, dtype=torch.uint8)


def test_bits_per_dim_of_the_uniform_model_over_an_uneven_last_block():
    data = Digits()
    model = Uniform(data.spec, bad=10**6)
    row = bits_per_dim(model, data, "test")["bits_per_dim"]
    assert row["value"] == pytest.approx(math.log2(17), abs=1e-12)
    assert row["identity"]["images"] == 300
    assert model.draws == 5  # 300 images are 5 blocks, the last of 44


def test_infinite_values_are_counted_and_reported():
    data = Digits()
    sums = data.splits["test"]["image"].flatten(1).sum(1)
    limit = int(sums.sort().values[-3])
    row = bits_per_dim(Uniform(data.spec, bad=limit), data, "test")["bits_per_dim"]
    assert row["value"] is None
    assert row["not_finite"] == 2
    json.dumps(row, allow_nan=False)


def test_importance_weighted_bound_is_the_log_mean_of_the_weights():
    """log w = c + N(0, 1): log E[w] = c + 1/2, and the bound closes on it from below as k grows."""
    data = Digits()
    values = [bits_per_dim(Uniform(data.spec), data, "test", weights=k)["bits_per_dim"] for k in (1, 4, 64)]
    gaps = [(math.log2(17) - row["value"]) * 64 * math.log(2) for row in values]
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[2] == pytest.approx(0.5, abs=0.05)
    assert [row["identity"]["bound"] for row in values] == ["elbo", "iwae-4", "iwae-64"]


def test_a_cached_reference_changes_nothing_and_a_torn_set_of_samples_is_exact(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path))
    data = Digits()
    evaluation = Evaluation(samples=100)
    first = evaluation.measure(Uniform(data.spec), data)
    files = list(tmp_path.rglob("*.safetensors"))
    assert len(files) == 4  # the extractor, and what each of three distances keeps
    second = Evaluation(samples=100).measure(Uniform(data.spec), data)
    assert first == second
    assert all(row["identity"]["samples"] == 100 for name, row in first.items() if "classifier" in name)


def test_a_damaged_cache_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path))
    data = Digits()
    first = Evaluation(samples=100).measure(Uniform(data.spec), data)
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:50])
    assert Evaluation(samples=100).measure(Uniform(data.spec), data) == first


def test_a_collapsed_generator_gets_finite_numbers_and_few_images_a_warning(capsys):
    data = Digits()
    image = data.splits["test"]["image"][:1].expand(64, -1, -1, -1)
    metrics = Evaluation(samples=40).distance(lambda block: image, 40, data)
    assert all(row["value"] is not None and math.isfinite(row["value"]) for row in metrics.values())
    assert "40 images for 64 features of classifier-" in capsys.readouterr().err


def _measure(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world)
    data = Digits()
    metrics = Evaluation(samples=150, weights=2).measure(load_module(f"{folder}/r/checkpoints/last.ckpt"), data)
    with open(f"{folder}/{rank}.json", "w") as stream:
        json.dump(metrics, stream)


def test_in_training_afterwards_and_in_two_processes_the_same_number(tmp_path, capsys):
    run = ["--run.root", str(tmp_path), "--run.name", "r", "--run.images", "128", *CPU]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *run, "--evaluation.samples", "150"]) == 0
    assert main(["evaluate", str(tmp_path / "r"), "--split", "val", "--json"]) == 0
    rows = read_json_lines(tmp_path / "r" / "evaluations.jsonl")
    assert len(rows) == 2
    assert rows[0]["metrics"] == rows[1]["metrics"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"] == rows[0]["metrics"]

    torch.set_num_threads(1)  # a convolution rounds otherwise on another number of threads
    multiprocessing.spawn(_measure, (2, str(tmp_path)), nprocs=2)
    two = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    model = load_module(tmp_path / "r" / "checkpoints" / "last.ckpt")
    one = Evaluation(samples=150, weights=2).measure(model, Digits())
    assert two[0] == two[1] == one


def test_more_weights_than_a_model_can_use_are_one_plain_line(tmp_path, capsys):
    arguments = ["fit", "-c", "configs/gan/dcgan.yaml", "--run.root", str(tmp_path / "runs"), *CPU]
    assert main([*arguments, "--evaluation.weights", "8"]) == 2
    assert capsys.readouterr().err == "lightning-gen: evaluation.weights is 8: GAN has no likelihood, want 1\n"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("name", "value"), [("samples", -1), ("samples", 1), ("weights", 0)])
def test_bad_numbers_are_refused(name, value):
    with pytest.raises(UserError, match=f"evaluation.{name} is {value}: want"):
        Evaluation(**{name: value})


def test_a_set_of_another_shape_and_a_broken_checkpoint_are_one_plain_line(tmp_path, capsys):
    run = ["--run.root", str(tmp_path), "--run.name", "r", "--run.images", "64", "--evaluation.samples", "0", *CPU]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *run]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "r"), "--data", "configs/data/shapes.yaml"]) == 2
    assert "data shapes is 3x32x32, 256 levels: VAE of run" in capsys.readouterr().err
    last = tmp_path / "r" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    content["state_dict"]["stray"] = torch.zeros(1)  # as of another version of the model
    torch.save(content, last)
    assert main(["evaluate", str(tmp_path / "r")]) == 2
    assert "last.ckpt does not fit lightning_gen.models.vae.VAE: " in capsys.readouterr().err
    last.write_bytes(last.read_bytes()[:1000])
    assert main(["evaluate", str(tmp_path / "r")]) == 2
    assert "cannot be read: want one that lightning-gen fit wrote" in capsys.readouterr().err
