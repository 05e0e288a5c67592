"""Fewer levels: the right range, the right frequencies, and the same picture every time."""

import pytest
import torch

from lightning_gen.data.levels import Bernoulli, Reduced, Threshold
from lightning_gen.errors import UserError

RAMP = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


@pytest.mark.parametrize("levels", [Threshold(), Bernoulli(), Reduced(32), Reduced(3), Reduced(256)])
def test_levels_are_what_they_say(levels):
    out = levels(RAMP, torch.arange(1))
    assert out.dtype == torch.uint8
    assert out.shape == RAMP.shape
    assert (int(out.min()), int(out.max())) == (0, levels.levels - 1)


def test_bins_are_of_equal_width_and_256_change_nothing():
    assert torch.bincount(Reduced(32)(RAMP, torch.arange(1)).flatten().int()).tolist() == [8] * 32
    assert torch.equal(Reduced(256)(RAMP, torch.arange(1)), RAMP)


def test_bernoulli_has_the_pixels_probability_and_depends_on_place_and_seed_alone():
    many = RAMP.expand(4000, 1, 16, 16)
    ones = Bernoulli()(many, torch.arange(4000)).double().mean(0).flatten()
    expected = torch.arange(256).double() / 255
    assert float((ones - expected).abs().max()) < 4.5 * 0.5 / 4000**0.5
    assert float(ones[0]) == 0
    assert float(ones[255]) == 1
    whole = Bernoulli(3)(many[:8], torch.arange(8))
    assert torch.equal(whole[5:6], Bernoulli(3)(many[:1], torch.tensor([5])))
    assert not torch.equal(whole, Bernoulli(4)(many[:8], torch.arange(8)))


@pytest.mark.parametrize(("make", "words"), [(lambda: Threshold(0), "levels.at is 0"), (lambda: Reduced(1), "is 1")])
def test_wrong_levels_are_one_plain_line(make, words):
    with pytest.raises(UserError, match=words):
        make()
