"""Augmentation: a function of (seed, epoch, index), with the distribution it promises."""

import pytest
import torch

from lightning_gen.data.augment import Chain, Draws, HorizontalFlip, RandomShift, RandomZoom
from lightning_gen.errors import UserError

IMAGE = torch.arange(3 * 6 * 5, dtype=torch.uint8).view(1, 3, 6, 5)
INDEX = torch.arange(600)


def test_draws_are_uniform_and_streams_independent():
    draws = Draws(0, 0, torch.arange(30000))
    first, second = draws.integers(7), draws.integers(7)
    for values in (first, second, (first - second) % 7):
        counts = torch.bincount(values, minlength=7).double()
        assert float(((counts - 30000 / 7) ** 2 / (30000 / 7)).sum()) < 22.5  # chi-squared of 6, 0.1 %


@pytest.mark.parametrize("other", [(1, 0), (0, 1)])
def test_seed_and_epoch_change_the_draws(other):
    assert not torch.equal(Draws(0, 0, INDEX).integers(100), Draws(*other, INDEX).integers(100))


def test_an_image_is_changed_alike_in_every_batch():
    augment = Chain([RandomShift(2), HorizontalFlip()])
    many = IMAGE.expand(600, -1, -1, -1)
    whole = augment(many, Draws(3, 5, INDEX))
    part = augment(many[100:103], Draws(3, 5, INDEX[100:103]))
    assert torch.equal(whole[100:103], part)


def test_flip_mirrors_half_and_leaves_the_rest():
    out = HorizontalFlip()(IMAGE.expand(600, -1, -1, -1), Draws(0, 0, INDEX))
    same, mirrored = ((out == wanted).flatten(1).all(1) for wanted in (IMAGE, IMAGE.flip(3)))
    assert bool((same ^ mirrored).all())
    assert 240 < int(mirrored.sum()) < 360


def test_shift_is_a_crop_of_the_reflected_image():
    out = RandomShift(2)(IMAGE.expand(600, -1, -1, -1), Draws(0, 0, INDEX))
    padded = torch.nn.functional.pad(IMAGE.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    crops = {padded[0, :, i : i + 6, j : j + 5].numpy().tobytes() for i in range(5) for j in range(5)}
    assert {image.numpy().tobytes() for image in out} == crops


def test_zoom_enlarges_every_window_by_the_nearest_pixel():
    image = torch.arange(8 * 8, dtype=torch.uint8).view(1, 1, 8, 8)
    out = RandomZoom(2)(image.expand(600, -1, -1, -1), Draws(0, 0, INDEX))
    windows = set()
    for side in (6, 7, 8):
        place = torch.arange(8) * side // 8
        for top in range(9 - side):
            for left in range(9 - side):
                windows.add(image[0, 0, top + place][:, left + place].numpy().tobytes())
    assert {picture.numpy().tobytes() for picture in out} == windows
    with pytest.raises(UserError, match=r"augment.pixels is 6: want less than the images' 6 pixels"):
        RandomZoom(6)(IMAGE, Draws(0, 0, torch.arange(1)))


def test_wrong_shifts_are_one_plain_line():
    with pytest.raises(UserError, match=r"augment.pixels is 0: want 1 or more"):
        RandomShift(0)
    with pytest.raises(UserError, match=r"augment.pixels is 5: want less than the images' 5 pixels"):
        RandomShift(5)(IMAGE, Draws(0, 0, torch.arange(1)))
