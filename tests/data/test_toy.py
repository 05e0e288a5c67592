"""Toy worlds: exact probabilities, exact entropy, samples that follow them."""

import math

import pytest
import torch

from lightning_gen.data.toy import WORLDS, ToyWorld
from lightning_gen.errors import UserError
from lightning_gen.images import draw_density


@pytest.mark.parametrize("world", WORLDS)
def test_probabilities_are_a_distribution_that_samples_follow(world):
    data = ToyWorld(world, levels=16, images=40000)
    p = data.probabilities
    assert p.shape == (16, 16)
    assert float(p.min()) >= 0
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    image = data.splits["train"]["image"]
    data.spec.check(image)
    pairs = image.view(-1, 2).long()
    seen = torch.bincount(pairs[:, 0] * 16 + pairs[:, 1], minlength=256).double()
    expected = p.flatten() * len(pairs)
    assert float(seen[expected < 1e-9].sum()) == 0
    likely = expected > 5
    freedom = int(likely.sum()) - 1
    chi = float(((seen - expected)[likely] ** 2 / expected[likely]).sum())
    assert abs(chi - freedom) < 4.5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("world", WORLDS)
def test_entropy_is_the_mean_bits_of_the_samples(world):
    data = ToyWorld(world, images=40000)
    pairs = data.splits["train"]["image"].view(-1, 2).long()
    bits = -data.probabilities[pairs[:, 0], pairs[:, 1]].log2() / 2
    assert float(bits.mean()) == pytest.approx(data.entropy(), abs=5 * float(bits.std()) / 200 + 1e-9)


def test_checkerboard_has_half_of_all_pairs_equally_likely():
    data = ToyWorld("checkerboard", levels=64)
    assert data.entropy() == pytest.approx((12 - 1) / 2, abs=1e-12)
    assert sorted(set(data.probabilities.flatten().tolist())) == pytest.approx([0, 1 / 2048], abs=1e-12)


def test_fine_levels_refine_coarse_ones():
    fine, coarse = (ToyWorld("pinwheel", levels=levels).probabilities for levels in (64, 16))
    assert torch.allclose(fine.view(16, 4, 16, 4).sum((1, 3)), coarse, atol=1e-14)


def test_x_points_right_and_y_up():
    density = torch.zeros(4, 4)
    density[3, 0] = 1  # x largest, y smallest
    picture = draw_density(density, cell=2)
    assert picture.shape == (8, 8)
    assert int(picture[7, 7]) == 0
    assert int(picture.sum()) == 255 * 60


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"world": "moon"}, "data.world is moon: want one of eight_gaussians, "),
        ({"images": 0}, "data.images is 0"),
        ({"levels": 1}, "spec.levels is 1"),
    ],
)
def test_wrong_worlds_are_one_plain_line(options, words):
    with pytest.raises(UserError, match=words):
        ToyWorld(**options)
