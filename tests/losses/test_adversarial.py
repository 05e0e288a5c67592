"""Games at their closed forms, penalties at functions whose gradient is known, bad input in one line."""

import math

import pytest
import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.losses.adversarial import (
    Hinge,
    LeastSquares,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Saturating,
    Wasserstein,
)
from lightning_gen.losses.penalties import R1, R2, GradientPenalty, Lazy, StepCount, WeightClip
from lightning_gen.schedules import Ramp

START = StepCount(0, 0)
SLOPE = torch.tensor([3.0, 4.0, 0.0, 0.0])  # of length 5


def _linear(x):
    return x.flatten(1) @ SLOPE


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(6, 1, 2, 2, generator=generator) for _ in range(2)]


@pytest.mark.parametrize(
    ("game", "of_discriminator", "of_generator"),
    [
        (Saturating(), 2 * math.log(2), -math.log(2)),
        (NonSaturating(), 2 * math.log(2), math.log(2)),
        (LeastSquares(), 0.5, 0.5),
        (Wasserstein(), 0.0, 0.0),
        (Hinge(), 2.0, 0.0),
        (Relativistic(), math.log(2), math.log(2)),
        (RelativisticAverage(), math.log(2), math.log(2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_games_at_a_discriminator_that_knows_nothing(game, of_discriminator, of_generator):
    logits = torch.zeros(5)
    assert float(game.discriminator(logits, logits)) == pytest.approx(of_discriminator)
    assert float(game.generator(logits, lambda: logits)) == pytest.approx(of_generator)


@pytest.mark.parametrize(
    "game",
    [Saturating(), NonSaturating(), LeastSquares(), Wasserstein(), Hinge(), Relativistic(), RelativisticAverage()],
)
def test_players_pull_in_opposite_directions(game):
    real, fake = torch.full((3,), 0.1, requires_grad=True), torch.full((3,), 0.2, requires_grad=True)
    of_real, of_fake = torch.autograd.grad(game.discriminator(real, fake), (real, fake))
    (of_generator,) = torch.autograd.grad(game.generator(fake, lambda: real), fake)
    assert (of_real < 0).all()
    assert (of_fake > 0).all()
    assert (of_generator < 0).all()


def test_the_saturating_gradient_vanishes_where_the_other_does_not():
    fake = torch.tensor([-20.0], requires_grad=True)
    gradients = [
        torch.autograd.grad(game.generator(fake, lambda: fake), fake)[0] for game in (Saturating(), NonSaturating())
    ]
    assert gradients[0].abs() < 1e-7
    assert gradients[1].abs() > 0.99


def test_penalties_of_a_linear_critic_are_known(images):
    assert float(GradientPenalty(10.0).penalty(_linear, *images, START)) == pytest.approx(10 * (5 - 1) ** 2, rel=1e-5)
    assert float(R1(2.0).penalty(_linear, *images, START)) == pytest.approx(25.0)
    assert float(R2(2.0).penalty(_linear, *images, START)) == pytest.approx(25.0)


def test_each_penalty_looks_at_its_own_images(images):
    real, fake = images[0], torch.zeros(6, 1, 2, 2)

    def quadratic(x):
        return x.flatten(1).square().sum(1)

    expected = 0.5 * 4 * real.flatten(1).square().sum(1).mean()
    assert R1(1.0).penalty(quadratic, real, fake, START).item() == pytest.approx(float(expected), rel=1e-5)
    assert R2(1.0).penalty(quadratic, real, fake, START).item() == 0.0


@pytest.mark.parametrize("make", [GradientPenalty, R1, R2])
def test_penalties_reach_the_weights(make, images):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    make(1.0).penalty(net, *images, START).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for name, p in net.named_parameters() if "weight" in name)


def test_lazy_keeps_the_mean_force(images):
    lazy = Lazy(R1(1.0), every=4)
    values = [float(lazy.penalty(_linear, *images, StepCount(step, 0)) or 0.0) for step in range(8)]
    assert values == pytest.approx([50.0, 0, 0, 0] * 2)
    assert sum(values) / 8 == pytest.approx(float(R1(1.0).penalty(_linear, *images, START)))


def test_a_ramped_penalty_follows_images_seen(images):
    r1 = R1(Ramp(2.0, 0.0, 100))
    assert [float(r1.penalty(_linear, *images, StepCount(0, seen))) for seen in (0, 50, 100, 200)] == pytest.approx(
        [25.0, 12.5, 0.0, 0.0]
    )


def test_clipped_weights_are_within_the_bound():
    net = nn.Linear(10, 10)
    WeightClip(0.01).project(net)
    assert max(p.abs().max().item() for p in net.parameters()) <= 0.01


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WeightClip(0.0), "regularizer.bound is 0.0: want above 0"),
        (lambda: GradientPenalty(-1.0), "regularizer.weight is -1.0: want 0 or more"),
        (lambda: R1(-1.0), "regularizer.gamma is -1.0: want 0 or more"),
        (lambda: R2(Ramp(1.0, -2.0, 5)), "regularizer.gamma is -2.0: want 0 or more"),
        (lambda: Lazy(R1(), 0), "regularizer.every is 0: want 1 or more"),
        (lambda: Ramp(0, 1, 0), "ramp.images is 0: want 1 or more"),
    ],
)
def test_bad_input_is_one_line(make, words):
    with pytest.raises(UserError, match=words):
        make()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("penalty", [GradientPenalty(10.0), R1(1.0), R2(1.0)], ids=lambda p: type(p).__name__)
def test_a_penalty_takes_every_precision(penalty, dtype):
    real, fake = (torch.rand(4, 1, 2, 2).to(dtype) for _ in range(2))
    assert penalty.penalty(lambda x: x.flatten(1).square().sum(1), real, fake, START).isfinite()
