"""Captured steps: the device part of a step is the whole step; see test_every_step.py for every YAML."""

from types import SimpleNamespace

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.training.capture import CapturedSteps, make_capturable
from lightning_gen.training.fit import build
from tests.recorded import recorded, recorded_steps
from tests.shipped import CONFIGS
from tests.training.capturable import host_work, step

__all__ = ["recorded", "recorded_steps"]  # fixtures

CPU = ["--trainer.accelerator", "cpu", "--evaluation.samples", "0", "--trainer.log_every_n_steps", "1"]


def _built(config, batch_size=8):
    cli = build(["-c", str(config), *CPU, "--data.init_args.batch_size", str(batch_size)])
    cli.model.trainer = cli.trainer
    return cli.model, next(iter(cli.datamodule.batches("train", batch_size)))


@pytest.mark.parametrize(
    "sick", [lambda x: x * float(x.detach().mean()), lambda x: x * torch.tensor(2.0), lambda x: x[x > 0]]
)
def test_a_planted_read_or_host_tensor_is_found(sick, monkeypatch):
    module, batch = _built("configs/vae/vae.yaml")
    monkeypatch.setattr(module, "_loss", lambda rows: sick(module.log_prob(rows["image"])).mean())
    assert host_work(module, batch, monkeypatch, step)


def _run_in_python(self, trainer, module):
    """Every step by the path of captured ones, computed in Python: what a replay would do."""
    module.step_runner = lambda key, batch, body, waiting: body(batch) or "captured"


@pytest.mark.parametrize(
    "config",
    [
        "flow/glow",
        "gan/wgan_gp",
        *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("vae/vae", "gan/acgan", "text/one_stage")),
    ],
)
def test_the_device_part_is_the_whole_step(config, tmp_path, monkeypatch):
    arguments = ["fit", "-c", f"configs/{config}.yaml", "--run.root", str(tmp_path), "--run.images", "320", *CPU]
    assert main([*arguments, "--run.name", "eager"]) == 0
    monkeypatch.setattr("lightning_gen.training.capture.CapturedSteps.on_train_start", _run_in_python)
    assert main([*arguments, "--run.name", "captured"]) == 0
    one, other = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("eager", "captured")
    )
    for room in ("state_dict", "ema"):
        assert all(torch.equal(one[room][key], other[room][key]) for key in one[room])
    assert str(one["optimizer_states"]) == str(other["optimizer_states"])
    assert one["global_step"] == other["global_step"]
    rows = [(tmp_path / name / "metrics.jsonl").read_text().count("train/") for name in ("eager", "captured")]
    assert rows[0] == rows[1]


RAMPED = "lightning_gen.contracts.ramped_adam.RampedAdam"  # torch's own cannot be captured on a CPU
PLAYERS = [f"--model.init_args.training.{player}_optimizer" for player in ("generator", "discriminator")]
SMALL = [
    word
    for player in ("generator", "discriminator")
    for name in ("width", "most")
    for word in (f"--model.init_args.{player}.init_args.{name}", "8")
]


BETA = "lightning_gen.losses.evidence.Beta"
WARMUP = ["--model.init_args.loss", BETA, "--model.init_args.loss.init_args.warmup", "300"]
RUNS = pytest.mark.parametrize(
    "arguments",
    [
        ["vae/vae", "--trainer.accumulate_grad_batches", "3", "--trainer.gradient_clip_val", "0.5", *WARMUP],
        ["gan/r3gan", "--run.ema", "0.9", *SMALL],
        ["gan/acgan", *(w for p in PLAYERS for w in (p, RAMPED)), "--model.init_args.training.accumulate", "3"],
    ],
    ids=lambda words: words[0],
)


def _eager_and_captured(arguments, root, *more):
    """The checkpoints of a run whose steps are eager, and of one whose steps are captured."""
    config, *own = arguments
    words = ["fit", "-c", f"configs/{config}.yaml", "--run.root", str(root), "--run.images", "208", *CPU, *own]
    words += ["--run.health_every", "0", "--data.init_args.batch_size", "8", *more]
    if "vae" in config:
        words += ["--model.init_args.optimizer", RAMPED]
    assert main([*words, "--run.name", "eager", "--run.capture", "false"]) == 0
    assert main([*words, "--run.name", "captured", "--run.capture", "true"]) == 0
    paths = [root / name / "checkpoints" / "last.ckpt" for name in ("eager", "captured")]
    return [torch.load(path, weights_only=True, map_location="cpu") for path in paths]


@RUNS
def test_a_replayed_run_is_an_eager_one(arguments, tmp_path, recorded_steps):
    """By a double of the graph, with accumulation, ramps of penalty and beta, and the average of the weights."""
    one, other = _eager_and_captured(arguments, tmp_path)
    assert recorded_steps
    for room in ("state_dict", "ema"):
        assert all(torch.equal(one[room][key], other[room][key]) for key in one[room])
    assert str(one["optimizer_states"]) == str(other["optimizer_states"])
    assert one["global_step"] == other["global_step"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@RUNS
def test_a_captured_run_is_an_eager_one_on_a_gpu(arguments, tmp_path):
    on_a_gpu = ["--trainer.accelerator", "gpu", "--trainer.deterministic", "warn"]
    one, other = _eager_and_captured(arguments, tmp_path, *on_a_gpu)
    assert one["global_step"] == other["global_step"]
    for room in ("state_dict", "ema"):
        for key, value in one[room].items():
            assert torch.allclose(value, other[room][key], rtol=1e-3, atol=1e-4), f"{room} {key} differs"


def test_capture_that_is_not_possible_is_one_line(tmp_path, capsys):
    arguments = ["fit", "-c", "configs/vae/vae.yaml", "--run.root", str(tmp_path), "--run.images", "64", *CPU]
    assert main([*arguments, "--run.capture", "true"]) == 2
    assert "run.capture is True: the device is no CUDA GPU; want nothing, or False" in capsys.readouterr().err
    assert main([*arguments, "--run.capture", "true", "--run.compile", "true"]) == 2
    assert "run.capture is True beside run.compile" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("config", ["vae/vae", "gan/dcgan", "flow/realnvp"])
def test_a_captured_run_goes_on_bit_for_bit(config, tmp_path):
    arguments = ["fit", "-c", f"configs/{config}.yaml", "--run.root", str(tmp_path), *CPU[2:]]
    arguments += ["--trainer.accelerator", "gpu", "--run.resume", "changed", "--run.save_every", "64"]
    arguments += ["--trainer.deterministic", "warn"]
    for name, images in (("whole", 1024), ("parts", 512), ("parts", 1024)):
        assert main([*arguments, "--run.name", name, "--run.images", str(images)]) == 0
    whole, parts = (torch.load(tmp_path / n / "checkpoints/last.ckpt", weights_only=True) for n in ("whole", "parts"))
    assert all(torch.equal(whole["state_dict"][key], value) for key, value in parts["state_dict"].items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda p: p.stem)
def test_captured_and_eager_steps_are_equal_on_a_gpu(config, tmp_path, capsys):
    arguments = ["fit", "-c", str(config), "--run.root", str(tmp_path), "--run.images", "512", *CPU[2:]]
    arguments += ["--trainer.accelerator", "gpu", "--trainer.deterministic", "warn"]
    assert main([*arguments, "--run.name", "eager", "--run.capture", "false"]) == 0
    for name in ("captured", "again"):
        assert main([*arguments, "--run.name", name]) == 0
    names = ("eager", "captured", "again")
    states = [torch.load(tmp_path / n / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for n in names]
    for key, value in states[1].items():
        assert torch.equal(value, states[2][key]), f"{key} differs between two captured runs"
        assert torch.allclose(value, states[0][key], rtol=1e-3, atol=1e-4), f"{key} differs from the eager run"


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_a_step_on_a_device_is_that_of_the_plain_optimizer(kind):
    """Fused, as training on a GPU has it, which also keeps its numbers there; a CPU has the same kernel."""
    torch.manual_seed(0)
    start, gradients = torch.randn(5, 3), torch.randn(4, 5, 3)
    ends = []
    for on_device in (False, True):
        weight = torch.nn.Parameter(start.clone())
        optimizer = kind([weight], lr=1e-2)
        if on_device:
            make_capturable(optimizer, weight.device)
            (group,) = optimizer.param_groups
            assert group["fused"]
            assert group["capturable"]
            group |= {"capturable": False, "lr": 1e-2}  # they are for GPUs alone
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        ends.append(weight.detach())
    assert torch.allclose(*ends, rtol=1e-6, atol=1e-7)
    optimizer = kind([torch.nn.Parameter(start)], foreach=True)
    make_capturable(optimizer, start.device)
    assert not optimizer.param_groups[0]["fused"]


def test_a_checkpoint_has_the_options_of_the_user_not_those_of_the_device():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))], lr=0.25)
    make_capturable(optimizer, torch.device("cpu"))
    checkpoint = {"optimizer_states": [optimizer.state_dict()]}
    CapturedSteps().on_save_checkpoint(SimpleNamespace(optimizers=[optimizer]), None, checkpoint)
    (group,) = checkpoint["optimizer_states"][0]["param_groups"]
    assert (group["lr"], group["capturable"], group["fused"]) == (0.25, False, None)
    assert isinstance(group["lr"], float)
    assert optimizer.param_groups[0]["fused"]
