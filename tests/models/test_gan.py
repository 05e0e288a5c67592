"""A GAN is as well behaved as any other model: processes, images seen, resume, reuse of fakes, conditions."""

import subprocess
import sys

import pytest
import torch
from torch.nn.functional import one_hot

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.errors import UserError
from lightning_gen.reading import read_rows
from lightning_gen.training.fit import build
from tests.models.gan_processes import narrow

CPU = ["--trainer.accelerator", "cpu", "--evaluation.samples", "0", "--trainer.log_every_n_steps", "1"]
SMALL = ["--model.init_args.generator.init_args.width", "8"]


def _fit(config, root, name, images, *more):
    run = ["--run.root", str(root), "--run.name", name, "--run.images", str(images)]
    return main(["fit", "-c", f"configs/{config}.yaml", *run, *CPU, *more])


def _checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_two_processes_are_one_with_the_doubled_batch(tmp_path):
    command = [sys.executable, "-m", "tests.models.gan_processes", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    one, first, second = (torch.load(tmp_path / name) for name in ("one.0", "two.0", "two.1"))
    for config, weights in one.items():
        start = dict(build(["-c", f"configs/gan/{config}.yaml", *narrow(config)]).model.named_parameters())
        moved = max(float((value - start[key]).detach().abs().max()) for key, value in weights.items())
        assert moved > 1e-4, config
        for key, value in weights.items():
            assert torch.equal(first[config][key], second[config][key]), f"{config} {key}"
            assert torch.allclose(value, first[config][key], atol=1e-3 * moved, rtol=1e-4), f"{config} {key}"


def test_images_seen_mean_the_same_for_a_gan_as_for_a_vae(tmp_path):
    """Budget, schedule, checkpoints, grids, rows of metrics; with 5 critic steps, 6 optimizer steps in 5 batches."""
    linear = "{class_path: lightning_gen.schedules.LinearDecay, init_args: {end: 1280}}"
    intervals = ["--run.grid_every", "320", "--run.save_every", "320"]
    for config, name, part in (("gan/wgan", "gan", "training.schedule"), ("vae/vae", "vae", "schedule")):
        assert _fit(config, tmp_path, name, 640, *intervals, f"--model.init_args.{part}", linear) == 0
    gan, vae = (_checkpoint(tmp_path / name) for name in ("gan", "vae"))
    assert gan["images_seen"] == vae["images_seen"] == 640
    factors = [
        group["lr"] / group["initial_lr"]
        for checkpoint in (gan, vae)
        for optimizer in checkpoint["optimizer_states"]
        for group in optimizer["param_groups"]
    ]
    assert factors == pytest.approx([1 - 576 / 1280] * 3)  # of the last batch, which began at 576 images
    grids = [sorted(p.name for p in (tmp_path / name / "samples").iterdir()) for name in ("gan", "vae")]
    assert grids[0] == grids[1] == ["0000000320.png", "0000000640.png"]
    rows = [read_rows(tmp_path / name / "metrics.jsonl") for name in ("gan", "vae")]
    assert {row["images_seen"] for row in rows[0]} == {row["images_seen"] for row in rows[1]}
    previous = [torch.load(tmp_path / n / "checkpoints/previous.ckpt", weights_only=True) for n in ("gan", "vae")]
    assert previous[0]["images_seen"] == previous[1]["images_seen"] == 320


def test_resume_is_bit_equal_with_every_state_a_gan_can_have(tmp_path):
    parts = tmp_path / "parts.yaml"
    parts.write_text(
        """model:
  init_args:
    training:
      share_fakes: true
      accumulate: 2
      discriminator_steps: 2
      clip: 1.0
      beta2: {class_path: lightning_gen.schedules.Ramp, init_args: {start: 0.9, end: 0.99, images: 1000}}
    discriminator:
      class_path: lightning_gen.nets.gan.spectral.SpectralNorm
      init_args:
        discriminator:
          class_path: lightning_gen.nets.gan.dcgan.DCGANDiscriminator
          init_args: {width: 8, norm: {class_path: lightning_gen.nets.layers.norms.NoNorm}}
    regularizers:
      - class_path: lightning_gen.losses.penalties.Lazy
        init_args: {regularizer: {class_path: lightning_gen.losses.penalties.R1}, every: 4}
    augment:
      class_path: lightning_gen.nets.gan.augment.AdaptiveAugment
      init_args:
        transforms: [{class_path: lightning_gen.nets.gan.augment.Translation}]
        target: -1.0
        images: 2000
        every: 192
"""
    )
    more = ["-c", str(parts), *SMALL, "--run.save_every", "64"]
    assert _fit("gan/dcgan", tmp_path, "whole", 1600, *more) == 0  # past the end of the first epoch
    assert _fit("gan/dcgan", tmp_path, "parts", 704, *more) == 0  # in the middle of it, and of an accumulation
    assert _fit("gan/dcgan", tmp_path, "parts", 1600, "--run.resume", "changed", *more) == 0
    whole, parts = (_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    for room in ("state_dict", "ema"):
        assert all(torch.equal(whole[room][key], parts[room][key]) for key in whole[room])
    assert str(whole["optimizer_states"]) == str(parts["optimizer_states"])
    assert torch.equal(whole["ranks"][0]["random"]["torch"], parts["ranks"][0]["random"]["torch"])
    assert whole["state_dict"]["augment.probability"] > 0.3
    assert {"augment._extra_state"} <= whole["state_dict"].keys()


@pytest.mark.parametrize(("reuse", "passes"), [("false", 4), ("true", 2)])
def test_reused_fakes_save_a_pass_of_the_generator(reuse, passes, tmp_path, monkeypatch):
    from lightning_gen.nets.gan.generator import ConditionedGenerator

    calls, forward = [], ConditionedGenerator.forward

    def counted(self, *args):
        calls.append(self.training)
        return forward(self, *args)

    monkeypatch.setattr(ConditionedGenerator, "forward", counted)
    assert _fit("gan/dcgan", tmp_path, "r", 128, "--model.init_args.training.share_fakes", reuse, *SMALL) == 0
    assert sum(calls) == passes  # the grid at the end is painted in eval mode


def test_one_seed_and_other_labels_are_other_images(tmp_path):
    assert _fit("gan/cgan", tmp_path, "r", 64, *SMALL) == 0
    module = load_module(tmp_path / "r" / "checkpoints" / "last.ckpt")
    assert module.condition_keys == ("label",)
    with torch.no_grad():
        module.generator.net.to_image.weight.mul_(1000)  # after one batch it generates grey, whatever its condition
        a, b, again = (
            module.sample(8, {"label": torch.full((8,), label)}, generator=torch.Generator().manual_seed(3))
            for label in (1, 2, 1)
        )
    assert torch.equal(a, again)
    assert not torch.equal(a, b)
    with pytest.raises(UserError, match="condition has 2 rows of label: want 8"):
        module.sample(8, {"label": torch.tensor([1, 2])})


def test_weights_of_a_clipped_critic_stay_within_the_bound(tmp_path):
    assert _fit("gan/wgan", tmp_path, "r", 128) == 0
    module = load_module(tmp_path / "r" / "checkpoints" / "last.ckpt")
    assert max(float(p.detach().abs().max()) for p in module.discriminator.parameters()) <= 0.01


def test_an_auxiliary_classifier_costs_both_players_the_cross_entropy():
    cli = build(["-c", "configs/gan/acgan.yaml", *CPU])
    batch = next(iter(cli.datamodule.batches("train", 16)))
    head, features = cli.model.discriminator.head, torch.randn(16, cli.model.discriminator.head.score.in_features)
    cost = head(features, batch).auxiliary
    expected = -(head.classify(features).log_softmax(1) * one_hot(batch["label"], 10)).sum(1).mean()
    assert float(cost.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model.init_args.latent_dim", "0"], "model.latent_dim is 0: want 1 or more"),
        (["--model.init_args.training.clip", "0"], "model.training.clip is 0.0: want above 0"),
        (
            ["--model.init_args.training.discriminator_steps", "0"],
            "model.training.discriminator_steps is 0: want 1 or more",
        ),
        (
            ["--model.init_args.condition", "lightning_gen.nets.condition.Label"],
            "model.condition tells of label, the discriminator's head looks at nothing: want the same",
        ),
        (["--run.ema", "1.5"], "run.ema is 1.5: want 0 to 1, without 1"),
    ],
)
def test_bad_input_ends_in_one_line_and_nothing_written(arguments, words, tmp_path, capsys):
    assert _fit("gan/dcgan", tmp_path / "runs", "r", 64, *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert words in lines[0]
    assert not (tmp_path / "runs").exists()


def test_attributes_of_a_module_keep_their_kind():
    model = build(["-c", "configs/gan/dcgan.yaml", *CPU]).model
    model.note = "a"
    model.note = None
    assert model.note is None
    model.part = torch.nn.Linear(1, 1)
    model.part = None  # what was a module is not hidden by a plain attribute of its name
    assert "part" in model._modules
    assert model.part is None
    model.note = torch.nn.Linear(1, 1)
    assert "note.weight" in dict(model.named_parameters())


def test_whoever_asks_for_a_profiler_gets_it(tmp_path):
    simple = ["--trainer.profiler", "lightning.pytorch.profilers.SimpleProfiler"]
    simple += ["--trainer.profiler.init_args.dirpath", str(tmp_path), "--trainer.profiler.init_args.filename", "times"]
    assert _fit("gan/dcgan", tmp_path, "profiled", 64, *SMALL, *simple) == 0
    assert "run_training_batch" in next(tmp_path.glob("*times*")).read_text()
