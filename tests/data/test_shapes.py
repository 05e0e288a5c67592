"""Shapes: the picture is a function of class and attributes, and says what they say."""

import math

import pytest
import torch

from lightning_gen.data.shapes import ATTRIBUTES, KINDS, Shapes, captions, render
from lightning_gen.errors import UserError


@pytest.fixture(scope="module")
def data():
    return Shapes(images=1200)


def _one(**values):
    """Attributes of one red shape in the middle of a dark picture, but for `values`."""
    start = {"hue_cos": 1.0, "size": 0.5, "rotation_cos": 1.0}
    return torch.tensor([[values.get(name, start.get(name, 0.0)) for name in ATTRIBUTES]])


def test_columns_agree_with_the_spec(data):
    batch = next(data.batches("train", 1200))
    data.spec.check(batch["image"])
    assert batch["attributes"].shape == (1200, data.spec.attributes)
    assert data.spec.classes == len(data.class_names) == 8
    assert data.attribute_names == ATTRIBUTES
    counts = torch.bincount(batch["label"], minlength=8)
    assert float(((counts - 150) ** 2 / 150).sum()) < 24.3  # chi-squared of 7 degrees of freedom, 0.1 %


def test_pictures_are_drawn_from_their_class_and_attributes(data):
    batch = next(data.batches("test", 100))
    assert torch.equal(batch["image"], render(batch["label"], batch["attributes"], 32))
    assert batch["text"] == captions(batch["label"], batch["attributes"])


def test_fewer_images_are_a_prefix_and_splits_differ(data):
    few = next(Shapes(images=5).batches("train", 5))
    assert torch.equal(few["image"], next(data.batches("train", 5))["image"])
    pictures = {p.numpy().tobytes() for split in ("train", "val", "test") for p in data.splits[split]["image"]}
    assert len(pictures) == 1200 + 1000 + 2000
    assert data.fingerprint != Shapes(images=1200, drawing=1).fingerprint
    assert data.fingerprint == Shapes(images=1200, seed=1, batch_size=5).fingerprint


@pytest.mark.parametrize("kind", range(8), ids=list(KINDS))
def test_the_whole_shape_is_where_its_attributes_say(kind):
    image = render(torch.tensor([kind]), _one(x=0.5, y=-0.5, size=0.4), 64)[0].int()
    drawn = (image - image[:, :1, :1]).abs().sum(0) > 40
    rows, columns = torch.where(drawn)
    centre = torch.tensor([0.5, -0.5]) * 32 + 31.5
    assert abs(float(columns.float().mean()) - float(centre[0])) < 5  # a crescent is not balanced
    assert abs(float(63 - rows.float().mean()) - float(centre[1])) < 5
    assert int(columns.max() - columns.min()) <= 0.4 * 64 + 1
    assert int(rows.min()) > 0


def test_hue_and_background_are_colours():
    third = 2 * math.pi / 3
    for channel in range(3):
        attributes = _one(hue_cos=math.cos(channel * third), hue_sin=math.sin(channel * third))
        assert int(render(torch.tensor([0]), attributes, 16)[0, :, 8, 8].argmax()) == channel
    dark, light = (render(torch.tensor([0]), _one(background=v), 16)[0, :, 0, 0].float().mean() for v in (0.0, 1.0))
    assert float(dark) < 60
    assert float(light) > 200


def test_rotation_by_the_order_of_symmetry_is_the_same_picture():
    # Attributes hold the cosine and sine of k times the angle, so half a turn of them turns a square by 45 degrees.
    square, turned = (render(torch.tensor([2]), _one(rotation_cos=c), 32)[0] for c in (1.0, -1.0))
    assert not torch.equal(square, turned)
    assert torch.equal(square, square.transpose(1, 2))
    assert torch.equal(turned, turned.transpose(1, 2))


def test_captions_name_class_colour_and_place():
    text = captions(torch.tensor([4]), _one(x=-0.5, y=0.5, size=0.6))
    assert text == ["a large red star at the top left on a dark background"]


@pytest.mark.parametrize(("options", "words"), [({"size": 4}, "data.size is 4"), ({"images": 0}, "data.images is 0")])
def test_wrong_sizes_are_one_plain_line(options, words):
    with pytest.raises(UserError, match=words):
        Shapes(**options)
