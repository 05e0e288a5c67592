"""The health of a translation: each alarm on planted readings, and on a training that is made to fail that way."""

import pytest
import torch
from torch import nn

from lightning_gen.reading import read_rows
from lightning_gen.training.callbacks.alarms import ALARMS, ColourInversion, DirectionCollapse, OneDiscriminatorWins
from lightning_gen.training.callbacks.health import auroc, discrimination
from lightning_gen.training.callbacks.translation_health import luminance_correlation
from lightning_gen.training.fit import build

WELL = {
    "gradient_g": 1.0,
    "diversity": 0.9,
    "fixed_noise_drift": 0.1,
    "auroc": 0.8,
    "auroc_there": 0.8,
    "auroc_back": 0.8,
}
WELL |= {"diversity_back": 1.0, "luminance_correlation": 0.3, "luminance_correlation_back": 0.4}
WELL |= {"luminance_correlation_real": 0.1}
SICK = [
    (OneDiscriminatorWins, {"auroc_there": 1.0, "auroc_back": 0.6}),
    (OneDiscriminatorWins, {"auroc_there": 0.5, "auroc_back": 0.995}),
    (DirectionCollapse, {"diversity_back": 0.01}),
    (ColourInversion, {"luminance_correlation": -0.9}),
    (ColourInversion, {"luminance_correlation_back": -0.9}),
]


@pytest.mark.parametrize(("kind", "sick"), SICK)
def test_an_alarm_comes_with_its_trouble_alone(kind, sick):
    for alarm in ALARMS:
        assert alarm.why([WELL] * 20) is None
        assert (alarm.why([WELL] * 20 + [{**WELL, **sick}] * 10) is not None) == isinstance(alarm, kind)
        assert "\n" not in alarm.advice


def test_domains_that_differ_in_brightness_raise_no_alarm():
    assert (
        ColourInversion().why([{**WELL, "luminance_correlation": -0.9, "luminance_correlation_real": -0.8}] * 10)
        is None
    )
    assert OneDiscriminatorWins().why([{**WELL, "auroc_there": 1.0, "auroc_back": 1.0}] * 10) is None
    assert DirectionCollapse().why([{"diversity": 0.01}] * 10) is None  # one direction alone is `Collapse`


def test_two_discriminators_have_readings_of_their_own_and_a_mean():
    logits = {"real_there": torch.tensor([1.0, 2.0]), "fake_there": torch.tensor([-1.0, 0.5])}
    logits |= {"real_back": torch.tensor([0.0, 1.0]), "fake_back": torch.tensor([2.0, 3.0])}
    found = discrimination(logits)
    assert float(found["auroc_there"]) == 1.0
    assert float(found["auroc_back"]) == float(auroc(logits["real_back"], logits["fake_back"])) == 0.0
    assert float(found["auroc"]) == 0.5
    assert float(found["accuracy_real"]) == pytest.approx(0.75)


def test_luminance_is_correlated_picture_by_picture():
    x = torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8)
    assert float(luminance_correlation(x, x)) == pytest.approx(1.0)
    assert float(luminance_correlation(x, 255 - x)) == pytest.approx(-1.0)
    assert float(luminance_correlation(x, torch.full_like(x, 7))) == 0.0
    grey = (0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]).round().to(torch.uint8)
    assert float(luminance_correlation(x, grey)) > 0.999
    table = [
        torch.corrcoef(torch.stack([a.flatten().float(), b.flatten().float()]))[0, 1]
        for a, b in zip(grey, grey.flip(0), strict=True)
    ]
    assert float(luminance_correlation(grey, grey.flip(0))) == pytest.approx(float(torch.stack(table).mean()), abs=1e-5)


class _Scaled(nn.Module):
    """A generator that paints a multiple of its source."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, source):
        return self.factor * source


def _sabotaged(tmp_path, there, back, judges=None):
    """The alarms of a CycleGAN whose generators are these and learn nothing."""
    words = ["-c", "configs/translation/cyclegan.yaml", "--run.root", str(tmp_path), "--run.name", "r"]
    words += [
        "--run.images",
        "160",
        "--run.health_every",
        "16",
        "--evaluation.samples",
        "0",
        "--run.evaluate_every",
        "0",
    ]
    words += [
        "--trainer.accelerator",
        "cpu",
        "--data.init_args.size",
        "16",
        "--data.init_args.images",
        "64",
        "--run.ema",
        "0",
    ]
    words += ["--model.init_args.training.generator_optimizer", "{class_path: torch.optim.SGD, init_args: {lr: 0.0}}"]
    cli = build(words)
    cli.model.generator["there"], cli.model.generator["back"] = _Scaled(there), _Scaled(back)
    if judges is not None:
        cli.model.training_plan.networks = judges
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return {row["alarm"] for row in read_rows(tmp_path / "r" / "alarms.jsonl")}


def test_an_inversion_on_purpose_is_told(tmp_path):
    assert "colour inversion" in _sabotaged(tmp_path, -1.0, -1.0)


def test_a_collapse_of_the_way_back_on_purpose_is_told(tmp_path):
    found = _sabotaged(tmp_path, 1.0, 0.0)
    assert "collapse of one direction" in found
    assert "colour inversion" not in found


def test_a_discriminator_that_wins_on_purpose_is_told(tmp_path):
    """That of the way there learns to tell a grey sheet from shapes, that of the way back learns nothing."""
    judges = {
        "discriminator.there": lambda p: torch.optim.Adam(p, 0.01, (0.5, 0.999)),
        "discriminator.back": lambda p: torch.optim.SGD(p, 0.0),
    }
    assert "one discriminator wins" in _sabotaged(tmp_path, 0.0, 1.0, judges)
