"""SRResNet, SRGAN and ESRGAN: what each phase learns, resume across its change, a start from the first phase."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module, load_run, read_checkpoint
from lightning_gen.contracts import AdversarialTraining, Phase
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.losses.adversarial import NonSaturating
from lightning_gen.losses.perceptual import FeatureLoss
from lightning_gen.models.srgan import ESRGAN, SRGAN
from lightning_gen.nets.gan.patch import DomainDiscriminator
from lightning_gen.nets.super_resolution.discriminator import CropDiscriminator
from lightning_gen.nets.super_resolution.srresnet import SRResNet

SPEC = ImageSpec(3, 16, 16, source=ImageSpec(3, 4, 4))
FIRST = Phase(8, 0, weights={"pixel": 1.0, "perceptual": 0.0, "features": 0.0, "adversarial": 0.0})
PHASES = [FIRST, Phase(weights={"features": 1.0})]
WORDS = ["--evaluation.samples", "0", "--run.health_every", "0", "--trainer.accelerator", "cpu"]
TINY = ["--data.init_args.batch_size", "4", "--model.init_args.generator.init_args.width", "4"]


def _adam(parameters):
    return torch.optim.Adam(parameters, 1e-3)


def _model(kind=SRGAN, perceptual=None, phases=PHASES):
    return kind(
        SPEC,
        lambda spec: SRResNet(spec, 4, 1),
        lambda spec: CropDiscriminator(spec, 4, 2),
        NonSaturating(),
        AdversarialTraining(_adam, _adam, phases=phases),
        perceptual=perceptual,
    )


def _batch():
    generator = torch.Generator().manual_seed(0)
    shapes = {"image": (4, 3, 16, 16), "source": (4, 3, 4, 4)}
    return {k: torch.randint(256, v, dtype=torch.uint8, generator=generator) for k, v in shapes.items()}


@pytest.mark.parametrize("kind", [SRGAN, ESRGAN])
def test_losses_by_name(kind):
    class Identity(nn.Module):
        def forward(self, x):
            return (x,)

    losses = _model(kind, FeatureLoss(Identity())).generator_losses(_batch())
    values = {name: value if isinstance(value, torch.Tensor) else value() for name, value in losses.items()}
    assert set(values) == {"pixel", "perceptual", "features", "adversarial"} == set(kind.generator_weights)
    assert torch.equal(values["pixel"], values["perceptual"])
    assert float(values["features"].detach()) > 0
    assert set(_model(kind).generator_losses(_batch())) == set(values) - {"perceptual"}


def test_a_perceptual_weight_without_a_network_is_refused():
    with pytest.raises(UserError, match=r"weights the loss perceptual: want model.perceptual, or 0"):
        _model(phases=[Phase(weights={"perceptual": 1.0})])


def test_features_of_a_discriminator_without_any_are_refused():
    model = _model()
    model.discriminator = DomainDiscriminator(SPEC, 4, 1)
    with pytest.raises(UserError, match="DomainDiscriminator gives no features: want weight 0, or CropDiscriminator"):
        model.generator_losses(_batch())["features"]()


def _fit(root, config, name, images, *more):
    words = ["fit", "-c", f"configs/super_resolution/{config}.yaml", "--run.root", str(root), "--run.name", name]
    assert main([*words, "--run.images", str(images), "--run.save_every", "8", *WORDS, *TINY, *more]) == 0
    return root / name


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def regression(root):
    return _fit(root, "srresnet", "regression", 16)


def test_resume_across_the_change_of_phase_is_bit_for_bit(root):
    phases = "--model.init_args.training.phases=[{images: 12, discriminator_steps: 0, weights: {pixel: 1, features: 0, "
    phases += "adversarial: 0}}, {weights: {pixel: 1, features: 0.1, adversarial: 0.001}}]"
    small = ["--model.init_args.discriminator.init_args.width", "4", phases]
    whole = _fit(root, "srgan", "whole", 24, *small)
    _fit(root, "srgan", "parts", 8, *small)
    parts = _fit(root, "srgan", "parts", 24, *small, "--run.resume", "changed")
    first, second = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in (whole, parts))
    assert first["adversarial"]["steps_made"] == {"generator": 6, "discriminator": 3}
    for part in ("state_dict", "ema"):
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part])
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert any("train/g/features" in row for row in rows)


def test_the_game_begins_from_a_run_of_pixels(root, regression):
    small = ["--model.init_args.discriminator.init_args.width", "4", "--run.start_from", str(regression)]
    begun = _fit(root, "srgan", "begun", 4, *small, "--model.init_args.training.generator_optimizer.init_args.lr", "0")
    about = json.loads((begun / "run.json").read_text())["start_from"]
    assert about["taken"] == sum(
        1 for _ in load_module(regression / "checkpoints" / "last.ckpt").generator.state_dict()
    )
    assert all(name.startswith("discriminator.") for name in about["fresh"])
    module, data = load_run(begun)
    batch = data.picture("test", 0)
    with torch.no_grad():
        assert torch.equal(load_run(regression)[0].translate(batch), module.translate(batch))
        assert module.translate(batch).shape == batch["image"].shape


@pytest.mark.exhaustive  # test_unpaired_models.py has the same for other players
def test_two_processes_learn_what_one_does(tmp_path):
    """The discriminator has norms per picture here: batch norm of half a batch is another function."""
    script = Path(__file__).with_name("super_resolution_processes.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    alone = subprocess.Popen([sys.executable, script, str(tmp_path / "one")], env=environment)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*run, script, str(tmp_path / "two")], check=True, env=environment, timeout=240)
    assert alone.wait(timeout=240) == 0
    one, first, second = (torch.load(tmp_path / name) for name in ("one.0", "two.0", "two.1"))
    for name, value in one.items():
        assert torch.allclose(value, first[name], atol=2e-5), name
        assert torch.equal(first[name], second[name]), name
