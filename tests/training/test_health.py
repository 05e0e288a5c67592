"""The health of GANs: readings against closed forms, alarms on planted readings and on seeded runs, exact resume."""

import math

import pytest
import torch

from benchmarks.gan_health.__main__ import CASES, alarms_of, train
from lightning_gen.config.cli import main
from lightning_gen.data.toy import ToyWorld
from lightning_gen.images import to_signed
from lightning_gen.metrics.modes import coverage, nearest_mode, spread, spread_within
from lightning_gen.reading import read_rows
from lightning_gen.training.callbacks.alarms import ALARMS, Collapse, Oscillation, VanishingGradient
from lightning_gen.training.callbacks.health import auroc, discrimination


def test_spread_is_the_mean_distance_of_two_points():
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)) + 100.0
    pairs = [(x[i] - x[j]).norm() for i in range(9) for j in range(9) if i != j]
    assert spread(x).item() == pytest.approx(torch.stack(pairs).mean().item(), rel=1e-4)
    assert spread(x[:1].expand(5, 4)).item() == 0
    assert spread(x[:1]).item() == 0


def test_spread_within_is_that_of_two_points_of_one_group():
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)) + 100.0
    group = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 5])
    pairs = [(x[i] - x[j]).norm() for i in range(9) for j in range(9) if i != j and group[i] == group[j]]
    assert spread_within(x, group).item() == pytest.approx(torch.stack(pairs).mean().item(), rel=1e-4)
    assert spread_within(x, torch.zeros(9)).item() == pytest.approx(spread(x).item(), rel=1e-6)
    assert spread_within(x, torch.arange(9)).item() == 0


def test_coverage_counts_modes_and_their_divergence():
    uniform = torch.full((8,), 1 / 8)
    every = coverage(torch.arange(8).repeat(10), uniform)
    assert (every.modes, every.within) == (8, 1.0)
    assert every.kl == pytest.approx(0.0, abs=1e-6)
    one = coverage(torch.tensor([3] * 15 + [-1] * 5), uniform)
    assert (one.modes, one.within) == (1, 0.75)
    assert one.kl == pytest.approx(math.log(8))
    none = coverage(torch.full((5,), -1), uniform)
    assert (none.modes, none.within) == (0, 0.0)
    assert none.kl == pytest.approx(math.log(8))
    assert coverage(torch.tensor([0] * 99 + [1]), torch.tensor([0.5, 0.5])).modes == 1, "one in a hundred is no mode"


@pytest.mark.parametrize(("world", "modes"), [("eight_gaussians", 8), ("grid", 25)])
def test_known_worlds_cover_their_own_modes(world, modes):
    data = ToyWorld(world, levels=256)
    centre, radius = data.modes
    image = next(data.batches("val", 2000))["image"]
    found = nearest_mode(to_signed(image, 256).flatten(1), centre.flatten(1), radius)
    whole = coverage(found, torch.full((modes,), 1 / modes))
    assert whole.modes == len(centre) == modes
    assert whole.kl < 0.02
    assert whole.within > 0.97  # three deviations hold 98.9% of a plane's Gaussian
    assert ToyWorld("two_moons").modes is None


def testdiscrimination_of_known_logits():
    found = discrimination({"real": torch.tensor([1.0, 2.0, -1.0]), "fake": torch.tensor([-2.0, 1.0, -3.0])})
    assert found["accuracy_real"].item() == pytest.approx(2 / 3)
    assert found["accuracy_fake"].item() == pytest.approx(2 / 3)
    assert found["auroc"].item() == pytest.approx(7.5 / 9)
    assert discrimination({"loss_d": torch.tensor(1.0)}) == {}


WELL = {"gradient_g": 1.0, "auroc": 0.7, "diversity": 0.9, "fixed_noise_drift": 0.1, "modes": 8.0, "mode_share": 1.0}
SICK = {
    VanishingGradient: {"gradient_g": 0.001, "auroc": 1.0},
    Oscillation: {"fixed_noise_drift": 1.2},
    Collapse: {"modes": 2.0, "mode_share": 0.25},
}


@pytest.mark.parametrize("kind", SICK)
def test_an_alarm_comes_with_its_trouble_alone(kind):
    well, sick = [dict(WELL)] * 20, [{**WELL, **SICK[kind]}] * 20
    for alarm in ALARMS:
        assert alarm.why(well) is None
        assert (alarm.why(well + sick) is not None) == isinstance(alarm, kind)
        assert "\n" not in alarm.advice
    assert Collapse().why([{**WELL, "diversity": 0.01}] * 10)
    assert "of a class" in Collapse().why([{**WELL, "class_diversity": 0.01}] * 10)
    # a weak gradient is no trouble where the discriminator cannot tell the images apart: the game is over, won
    assert VanishingGradient().why([*well, *[{**WELL, "gradient_g": 0.001}] * 10]) is None


@pytest.fixture(scope="module")
def collapsed(tmp_path_factory):
    return train(
        tmp_path_factory.mktemp("gan"), "collapse", 0, "--run.images", "20480", "--run.stop_on_collapse", "true"
    )


def test_a_seeded_collapse_is_told_and_stops_the_run(collapsed):
    assert "collapse" in alarms_of(collapsed)
    told = read_rows(collapsed / "alarms.jsonl")
    assert len({row["alarm"] for row in told}) == len(told), "an alarm is raised once"
    checkpoint = torch.load(collapsed / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["images_seen"] == next(row["images_seen"] for row in told if row["alarm"] == "collapse")
    assert checkpoint["images_seen"] < 20480


def test_a_seeded_healthy_run_is_silent(tmp_path):
    run = train(tmp_path, "fast_discriminator", 0, "--run.images", "20480")
    assert alarms_of(run) == []
    newest = [row for row in read_rows(run / "metrics.jsonl") if "health/modes" in row][-1]
    assert newest["health/modes"] == 8
    assert CASES["fast_discriminator"].alarm is None


def test_measurements_go_on_where_a_run_was_stopped_and_do_not_change_the_training(tmp_path):
    common = ["--model.init_args.training.discriminator_steps", "2", "--run.health_every", "300"]
    whole = train(tmp_path / "whole", "wgan_gp", 0, *common, "--run.images", "1536")
    parts = train(tmp_path / "parts", "wgan_gp", 0, *common, "--run.images", "640")
    words = ["fit", "-c", str(parts / "config.yaml"), "--run.resume", "changed", "--run.images", "1536"]
    assert main(words) == 0
    unwatched = train(tmp_path / "unwatched", "wgan_gp", 0, *common, "--run.images", "1536", "--run.health_every", "0")
    rows = [
        [
            {k: v for k, v in row.items() if k != "seconds" and not k.startswith("speed/")}
            for row in read_rows(run / "metrics.jsonl")
        ]
        for run in (whole, parts)
    ]
    measured = [[row for row in own if "health/fixed_noise_drift" in row] for own in rows]
    assert measured[0] == measured[1]
    assert len(measured[0]) >= 3
    states = [torch.load(r / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for r in (whole, unwatched)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_auroc_by_sorting_is_the_matrix_of_all_pairs():
    torch.manual_seed(0)
    real, fake = torch.randn(50).round(decimals=1), torch.randn(70).round(decimals=1) - 0.3  # with ties
    pairs = (real[:, None] > fake).float() + 0.5 * (real[:, None] == fake).float()
    assert float(auroc(real, fake)) == pytest.approx(float(pairs.mean()), abs=1e-6)
    maps = {"real": torch.randn(4, 1, 30, 30), "fake": torch.randn(4, 1, 30, 30) - 1.0}
    assert 0.7 < float(discrimination(maps)["auroc"]) < 0.8
