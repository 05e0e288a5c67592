"""The protocol: the same number in training and afterwards, in one process and in two, nothing dropped."""

import json
import math
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.contracts import ImageModule, LikelihoodModule
from lightning_gen.data.digits import Digits
from lightning_gen.errors import UserError
from lightning_gen.evaluation.collection import BLOCK
from lightning_gen.evaluation.likelihood import bits_per_dim, log_probs
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.extractors import PCA
from lightning_gen.reading import read_rows
from lightning_gen.training.ema import EMA, ema_weights

CPU = ["--trainer.accelerator", "cpu"]


class Linear(ImageModule):
    """Something with weights."""

    def __init__(self) -> None:
        super().__init__(ImageSpec(1, 2, 2))
        self.layer = torch.nn.Linear(3, 2)


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


def test_bits_per_dim_is_the_mean_of_the_log_probabilities_of_the_blocks():
    data = Digits()
    model = Uniform(data.spec)
    blocks = [log_probs(model, batch, i, 3, weights=4) for i, batch in enumerate(data.batches("test", BLOCK))]
    row = bits_per_dim(model, data, "test", seed=3, weights=4)["bits_per_dim"]
    assert [len(block) for block in blocks] == [64] * 4 + [44]
    assert row["value"] == pytest.approx(-torch.cat(blocks).mean().item() / 64 / math.log(2), rel=1e-12)


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


def test_without_distances_no_extractor_is_made():
    def refuse(spec):
        raise AssertionError("nobody asks for features")

    data = Digits()
    found = Evaluation(samples=100, distances=[], extractor=refuse).measure(Uniform(data.spec), data)
    assert set(found) == {"bits_per_dim"}


def test_nothing_is_drawn_from_the_global_generator(tmp_path, monkeypatch):
    """Neither by an extractor that is built or learned, nor by a model that draws without the generator it is given."""
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path))
    data = Digits()

    class Careless(Uniform):
        def sample(self, n, condition=None, temperature=1.0, generator=None):
            return torch.randint(self.spec.levels, (n, *self.spec.shape), dtype=torch.uint8)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    Evaluation(samples=64).measure(Careless(data.spec), data)
    Evaluation(samples=64).extractor_of(data)
    Evaluation(samples=64, extractor=lambda spec: PCA(spec, int(torch.randint(4, 8, ())))).measure(
        Uniform(data.spec), data
    )
    assert torch.equal(torch.get_rng_state(), before)


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


def test_features_that_are_not_finite_are_counted_and_float_pictures_refused():
    data = Digits()

    class Broken(PCA):
        """Says nothing of dark pictures."""

        def forward(self, image):
            dark = image.flatten(1).max(1).values < 5
            return torch.where(dark[:, None], torch.nan, image.flatten(1)[:, : self.dims].float())

    image = data.splits["train"]["image"][:64]
    torn = image.clone()
    torn[:3] = 0
    evaluation = Evaluation(samples=64, extractor=lambda spec: Broken(spec, 8))
    metrics = evaluation.distance(lambda block: torn, 64, data)
    assert {row["value"] for row in metrics.values()} == {None}
    assert {row["not_finite"] for row in metrics.values()} == {3}
    json.dumps(metrics, allow_nan=False)
    assert all("not_finite" not in row for row in evaluation.distance(lambda block: image, 64, data).values())
    with pytest.raises(UserError, match=r"image has dtype torch.float32: want torch.uint8 with values 0..16"):
        evaluation.distance(lambda block: torch.full_like(image, torch.nan, dtype=torch.float32), 64, data)


def test_an_interrupted_cache_write_leaves_nothing_and_a_full_disk_costs_no_number(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path))
    data, image = Digits(), Digits().splits["train"]["image"][:64]

    def measure():
        return Evaluation(samples=64, extractor=lambda spec: PCA(spec, 8)).distance(lambda block: image, 64, data)

    def fail(error):
        def write(handle):
            raise error

        return write

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            measure()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail(OSError(28, "No space left on device")))
        first = measure()
    assert "reference cannot be written: No space left on device" in capsys.readouterr().err
    assert measure() == first
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3


def test_averaged_weights_give_way_to_the_live_ones_whatever_happens():
    module = Linear()
    average = EMA(0.5)
    average.average = {key: torch.zeros_like(value) for key, value in module.state_dict().items()}
    live = {key: value.clone() for key, value in module.state_dict().items()}
    trainer = SimpleNamespace(callbacks=[average])
    module.train()

    def interrupted():
        with ema_weights(trainer, module):
            assert not module.training
            assert not module.layer.weight.any()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert module.training
    assert all(torch.equal(value, live[key]) for key, value in module.state_dict().items())


def test_no_extractor_enters_a_checkpoint(tmp_path):
    run = ["--run.root", str(tmp_path), "--run.name", "r", "--run.images", "64", "--evaluation.samples", "64", *CPU]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *run]) == 0
    content = torch.load(tmp_path / "r" / "checkpoints" / "last.ckpt", weights_only=True)
    model = load_module(tmp_path / "r" / "checkpoints" / "last.ckpt")
    assert content["state_dict"].keys() == model.state_dict().keys()
    assert not [key for key in map(str, content["callbacks"].get("Evaluate", {})) if "extractor" in key]
    largest = sum(value.numel() for value in model.state_dict().values())
    assert (tmp_path / "r" / "checkpoints" / "last.ckpt").stat().st_size < 4.5 * 4 * largest  # with average and Adam


def test_in_training_afterwards_and_in_one_two_and_three_processes_the_same_number(tmp_path, capsys):
    run = ["--run.root", str(tmp_path), "--run.name", "r", "--run.images", "128", *CPU]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *run, "--evaluation.samples", "150"]) == 0
    assert main(["evaluate", str(tmp_path / "r"), "--split", "val", "--json"]) == 0
    rows = read_rows(tmp_path / "r" / "evaluations.jsonl")
    assert len(rows) == 2
    assert rows[0]["metrics"] == rows[1]["metrics"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"] == rows[0]["metrics"]

    # 151 samples and 199 images: the last block is uneven, and so is what each process gets
    command = [sys.executable, "-m", "tests.evaluation.processes", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads((tmp_path / f"{r}-of-{w}.json").read_text()) for w in (1, 2, 3) for r in range(w)]
    assert found == [found[0]] * 6
    assert found[0]["bits_per_dim"]["identity"]["images"] == 199
    assert {row["identity"].get("samples", 151) for row in found[0].values()} == {151}


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
    assert "last.ckpt does not fit its model: " in capsys.readouterr().err
    last.write_bytes(last.read_bytes()[:1000])
    assert main(["evaluate", str(tmp_path / "r")]) == 2
    assert "cannot be read: want one that lightning-gen fit wrote" in capsys.readouterr().err
