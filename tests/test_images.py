"""Scalings of pixels: what one direction does the other undoes, at the edge of every level too."""

import pytest
import torch

from lightning_gen.images import ImageSpec, from_signed, from_unit, halvings, to_signed, to_unit

#: the largest float32 below 1, and others near it
NEAR_ONE = 1.0 - torch.tensor([2.0**-24, 2.0**-23, 2.0**-20, 1e-5, 1e-4])


@pytest.mark.parametrize("levels", range(2, 257))
def test_a_level_with_any_noise_stays_its_level_and_below_one(levels):
    image = torch.arange(levels, dtype=torch.uint8)[:, None].expand(-1, len(NEAR_ONE) + 2).contiguous()
    noise = torch.cat([NEAR_ONE, torch.tensor([0.0, 0.5])]).expand(levels, -1)
    x = to_unit(image, levels, noise)
    assert float(x.max()) < 1.0
    assert torch.equal(from_unit(x, levels), image)
    assert torch.equal(from_unit(to_unit(image, levels), levels), image)
    assert torch.equal(from_signed(to_signed(image, levels), levels), image)


def test_noise_inside_a_level_is_left_as_it_is():
    image, noise = torch.randint(256, (1000,), dtype=torch.uint8), torch.rand(1000).clamp(max=0.999)
    assert torch.equal(to_unit(image, 256, noise), (image.float() + noise) / 256)


@pytest.mark.parametrize(
    ("sides", "above", "most", "count"),
    [((8, 8), 4, None, 1), ((64, 32), 4, None, 3), ((28, 28), 4, None, 2), ((8, 8), 1, 2, 2), ((6, 8), 1, 5, 1)],
)
def test_halvings(sides, above, most, count):
    assert halvings(ImageSpec(1, *sides), above, most) == count
