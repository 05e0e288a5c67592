"""StyleGAN2: its penalties as steps of their own, Adam's correction, style mixing, truncation, and exact resumes."""

import subprocess
import sys

import pytest
import torch
from torch.autograd.functional import jacobian

from lightning_gen.batches import select_rows
from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.errors import UserError
from lightning_gen.graphs import Replays
from lightning_gen.images import to_signed
from lightning_gen.models.stylegan2 import path_lengths
from lightning_gen.nets.gan import augment
from lightning_gen.training.capture import CapturedSteps
from lightning_gen.training.fit import build
from tests.recorded import recorded, recorded_steps

__all__ = ["recorded", "recorded_steps"]  # fixtures

CPU = ["--trainer.accelerator", "cpu", "--evaluation.samples", "0", "--trainer.log_every_n_steps", "1"]
CONFIG = "configs/gan/stylegan2_shapes.yaml"
MODEL = "--model.init_args"
#: narrow, with every state that a run can have: path length, adaptive augmentation that moves, a mean of styles
SMALL = ["-c", CONFIG, *CPU, "--data.init_args.images", "96", "--data.init_args.batch_size", "8"]
for part in ("generator", "discriminator"):
    SMALL += [f"{MODEL}.{part}.init_args.width", "4", f"{MODEL}.{part}.init_args.most", "8"]
SMALL += [f"{MODEL}.path_weight", "2.0", f"{MODEL}.r1_every", "3", f"{MODEL}.path_every", "2"]
SMALL += [f"{MODEL}.augment.init_args.target", "-1.0", f"{MODEL}.augment.init_args.images", "500"]
SMALL += [f"{MODEL}.augment.init_args.every", "16"]


@pytest.fixture
def built():
    torch.manual_seed(0)
    cli = build(SMALL)
    cli.model.trainer = cli.trainer
    return cli.model, next(iter(cli.datamodule.batches("train", 8)))


def _fit(root, name, images, *more):
    run = ["--run.root", str(root), "--run.name", name, "--run.images", str(images), "--run.health_every", "0"]
    return main(["fit", *SMALL, *run, *more])


def _checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_resume_is_bit_equal_with_p_path_length_style_mean_and_both_adams(tmp_path):
    assert _fit(tmp_path, "whole", 176) == 0
    assert _fit(tmp_path, "parts", 88) == 0
    assert _fit(tmp_path, "parts", 176, "--run.resume", "changed") == 0
    whole, parts = (_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    for room in ("state_dict", "ema"):
        assert all(torch.equal(whole[room][key], parts[room][key]) for key in whole[room])
    assert str(whole["optimizer_states"]) == str(parts["optimizer_states"])
    state = whole["state_dict"]
    for name in ("augment.probability", "augment.mean_sign", "path_mean", "generator.net.w_mean"):
        assert float(state[name].abs().max()) > 0, name
    # The mean of styles is copied into the average, and both follow the same learned constant noise.
    assert torch.equal(whole["ema"]["net.w_mean"], state["generator.net.w_mean"])
    module = load_module(tmp_path / "whole" / "checkpoints" / "last.ckpt")
    assert torch.equal(module.style_mean, state["generator.net.w_mean"])
    # 22 main steps of each; penalties after the steps 0, 3, ... and 0, 2, ...
    steps = [next(iter(o["state"].values()))["step"] for o in whole["optimizer_states"]]
    assert [int(step) for step in steps] == [22 + 11, 22 + 8]


def test_a_lazy_penalty_is_shown_until_the_next_one_also_by_replayed_steps(built):
    """A replay fills the losses of its own kind of step, and leaves those that it does not compute."""
    module, batch = built
    module._learn = lambda player, batch, phase: module.latest_losses.update({f"loss_{player[0]}": torch.ones(())})
    module.latest_losses["d/r1"] = torch.tensor(5.0)
    module._play(batch, {"discriminator": 1, "generator": 1}, module.phase)
    outputs = module.step_outputs()
    assert sorted(outputs[0]) == ["loss_d", "loss_g"]
    assert float(module.latest_losses["d/r1"]) == 5.0
    module.latest_losses["d/r1"] = torch.tensor(7.0)
    outputs[0]["loss_d"].fill_(3.0)
    module.take_outputs(outputs)
    outputs[0]["loss_d"].fill_(4.0)  # another kind of step uses the memory
    assert {name: float(value) for name, value in module.latest_losses.items()} == {"d/r1": 7, "loss_d": 3, "loss_g": 1}


def test_a_lazy_penalty_of_the_captured_step_is_shown_until_the_next_one(built, recorded_steps):
    """What a graph was recorded with lies in its memory, too, which steps of another kind use."""
    module, batch = built

    def body(rows):
        module._made = {"d/r1": torch.full((), 5.0)}
        module.latest_losses = dict(module._made)

    capture = CapturedSteps()
    capture.module, capture.record = module, Replays.recorders["cpu"]()
    assert [capture.run("kind", batch, body) for _ in range(4)] == ["eager"] * 3 + ["captured"]
    (step,) = capture.steps.values()
    step.outputs[0]["d/r1"].fill_(float("nan"))
    assert float(module.latest_losses["d/r1"]) == 5.0


def test_the_window_of_adaptive_augmentation_is_of_all_processes(monkeypatch):
    """A checkpoint is the first process's: what it keeps of an unfinished window must be true of all of them."""
    monkeypatch.setattr(augment, "rank_and_world", lambda: (0, 2))
    monkeypatch.setattr(
        augment, "sum_over_processes", lambda signs: signs - 4.0
    )  # of another, whose logits are negative
    net = augment.AdaptiveAugment([], every=16)
    net.observe(torch.tensor([1.0, 2.0, -1.0, 3.0]), 0)
    assert net.get_extra_state().tolist() == [-2.0, 8.0]
    net.observe(torch.ones(4), 8)
    assert float(net.mean_sign) == -2.0 / 16
    assert net.get_extra_state().tolist() == [0.0, 0.0]


@pytest.mark.exhaustive
def test_two_processes_resume_bit_for_bit_within_a_window_of_adaptive_augmentation(tmp_path):
    """p changes every 40 images of both processes together; the first part ends after 80."""
    window = [f"{MODEL}.augment.init_args.every", "40"]
    command = [sys.executable, "-m", "tests.models.style_processes", str(tmp_path), *SMALL, *window]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    whole, parts = (_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    for room in ("state_dict", "ema"):
        assert all(torch.equal(whole[room][key], parts[room][key]) for key in whole[room])
    assert str(whole["optimizer_states"]) == str(parts["optimizer_states"])
    assert float(whole["state_dict"]["augment.probability"]) > 0


def test_adam_is_corrected_for_the_steps_of_the_penalties(built):
    module, _ = built
    for optimizer, every in zip(module.configure_optimizers(), (2, 3), strict=True):
        c = every / (every + 1)
        [group] = optimizer.param_groups
        assert group["lr"] == pytest.approx(0.0025 * c)
        assert group["betas"] == pytest.approx((0.0, 0.99**c))


def test_path_lengths_are_the_norms_of_the_jacobian(built):
    """Against the whole Jacobian of a small image, row by row."""
    module, _ = built
    w = torch.randn(2, module.net.synthesis.count, 64, requires_grad=True)
    image = module.net.synthesis(w)
    y = torch.randn_like(image)
    lengths = path_lengths(image, w, y)
    for i in range(2):
        start = w[i].detach()
        rows = jacobian(lambda v: module.net.synthesis(v[None])[0].flatten(), start, vectorize=True)
        product = torch.einsum("p,plw->lw", y[i].flatten() / 16, rows)  # divided by sqrt(16 * 16)
        assert float(lengths[i].detach()) == pytest.approx(float(product.square().sum(1).mean().sqrt()), rel=1e-3)


def test_r1_is_of_the_images_before_augmentation_times_its_interval(built):
    module, batch = built
    real = to_signed(batch["image"], 256).requires_grad_(True)
    (gradient,) = torch.autograd.grad(module.discriminator(module.augment(real)).logits.sum(), real)
    expected = 3 * 0.5 * 0.01 * gradient.square().flatten(1).sum(1).mean()
    module.steps_made["discriminator"] = 1
    penalty = module.regularization("discriminator", batch)["r1"]
    assert float(penalty.detach()) == pytest.approx(float(expected), rel=1e-4)
    module.steps_made["discriminator"] = 2
    assert module.regularization("discriminator", batch) == {}


def test_penalties_stay_in_float32_and_reach_every_weight(built):
    module, batch = built
    for player, name in (("discriminator", "r1"), ("generator", "path")):
        module.steps_made[player] = 1
        with torch.autocast("cpu", torch.bfloat16):
            penalty = module.regularization(player, batch)[name]
        assert penalty.dtype == torch.float32
        penalty.backward()
        network = module.players[player]
        assert all(p.grad is not None for p in network.parameters())
    assert float(module.path_mean) > 0


def test_mixing_cuts_two_styles_at_a_layer(built, monkeypatch):
    module, batch = built
    batch = select_rows(batch, 0, 8)
    ends = iter([torch.zeros(8, 64), torch.ones(8, 64)])
    monkeypatch.setattr(type(module), "styles", lambda *_: next(ends))
    module.mixing = 1.0
    w = module._mixed(batch)[:, :, 0]
    assert torch.equal(w, w.sort(1).values)  # zeros, then ones
    assert (w[:, 0] == 0).all()
    assert (w[:, -1] == 1).all()
    ends = iter([torch.zeros(8, 64), torch.ones(8, 64)])
    module.mixing = 0.0
    assert not module._mixed(batch).any()
    assert torch.equal(module.style_mean, torch.zeros(64))  # of the first style alone


def test_truncation_noise_and_generation(built):
    module, _ = built
    module.eval()
    with torch.no_grad():
        module.net.w_mean.normal_()
        for layer in module.net.synthesis.layers:
            layer.strength.fill_(0.5)
        z = torch.randn(3, 64)
        w = module.styles(z)
        assert torch.allclose(module.truncate(w, 0.0), module.style_mean.expand(3, -1))
        assert torch.allclose(module.truncate(w, 1.0), w, atol=1e-6)
        assert torch.equal(module.generate(z), module.render(w))
        drawn = [module.render(w, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])
        assert torch.equal(module.render(module.net.everywhere(w)), module.render(w))


CONDITIONAL = """model:
  init_args:
    condition: {class_path: lightning_gen.nets.condition.Label}
    discriminator:
      init_args: {head: {class_path: lightning_gen.nets.gan.style_discriminator.MappedProjection}}
"""


def test_a_conditional_one_listens_to_the_label(tmp_path):
    (tmp_path / "label.yaml").write_text(CONDITIONAL)
    assert _fit(tmp_path, "r", 32, "-c", str(tmp_path / "label.yaml")) == 0
    module = load_module(tmp_path / "r" / "checkpoints" / "last.ckpt")
    assert module.condition_keys == ("label",)
    z = torch.randn(4, 64)
    with torch.no_grad():
        a, b = (module.styles(z, {"label": torch.full((4,), label)}) for label in (0, 1))
    assert not torch.allclose(a, b)
    assert module.sample(2, generator=torch.Generator().manual_seed(0)).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([f"{MODEL}.gamma", "-1"], "model.gamma is -1.0: want 0 or more"),
        ([f"{MODEL}.mixing", "2"], "model.mixing is 2.0: want 0 to 1"),
        ([f"{MODEL}.r1_every", "0"], "model.r1_every is 0: want 1 or more"),
        ([f"{MODEL}.condition", "lightning_gen.nets.condition.Label"], "model.condition tells of label"),
        (["--run.ema.init_args.images", "0"], "ema.images is 0: want 1 or more"),
    ],
)
def test_bad_input_is_one_line(arguments, words):
    with pytest.raises(UserError) as caught:
        build([*SMALL, *arguments])
    assert words in str(caught.value)
