"""Directions of vectors: the first layer, its eigenvectors, least squares, and the command on runs of one batch."""

import json

import pytest
import torch
from PIL import Image
from torch import nn

from lightning_gen.config.cli import main
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.condition import Label
from lightning_gen.nets.gan.dcgan import DCGANGenerator
from lightning_gen.nets.gan.generator import ConditionedGenerator
from lightning_gen.nets.gan.resnet import ResNetGenerator
from lightning_gen.nets.layers.norms import BatchNorm, ConditionalBatchNorm
from lightning_gen.tasks.directions import discovered, entrance, fitted

SPEC = ImageSpec(1, 8, 8, classes=3)
LABEL = Label(SPEC)


@pytest.mark.parametrize(
    ("net", "first"),
    [
        (DCGANGenerator(SPEC, 5, LABEL.features, 4, BatchNorm), lambda net: net.stages[0].conv.weight[:5].flatten(1).T),
        (ResNetGenerator(SPEC, 5, LABEL.features, 4, ConditionalBatchNorm), lambda net: net.start[0].weight),
    ],
    ids=["joined to the condition", "the condition in the norms"],
)
def test_the_entrance_is_the_weight_that_a_vector_meets_first(net, first):
    module = ConditionedGenerator(LABEL, net).eval()
    found = entrance(module, module, 5, {"label": torch.tensor([1])})
    torch.testing.assert_close(found, first(net))


def test_a_model_without_a_layer_for_its_vector_is_one_line():
    with pytest.raises(UserError, match="Flatten has no linear layer that sees its vector: want --targets"):
        entrance(nn.Flatten(), lambda z, rows: z, 3)


def test_discovered_directions_are_those_that_are_stretched_most():
    weight = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    vectors, shares = discovered(weight, 9)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(6), atol=1e-5, rtol=0)
    stretched = (weight @ vectors.T).square().sum(0)
    torch.testing.assert_close(shares.float(), stretched / weight.square().sum())
    assert stretched.tolist() == sorted(stretched.tolist(), reverse=True)
    assert all(vector[vector.abs().argmax()] > 0 for vector in vectors)


def test_least_squares_finds_the_direction_of_a_boundary():
    generator = torch.Generator().manual_seed(0)
    z, normal = torch.randn(8000, 5, generator=generator), torch.tensor([0.6, 0.0, -0.8, 0.0, 0.0])
    for value in ((z @ normal > 1).float(), torch.sigmoid(3 * (z @ normal))):
        vector, explained = fitted(z, value)
        assert vector @ normal > 0.99
        assert 0.3 < explained < 1
    assert abs(fitted(z, torch.randn(8000, generator=generator))[1]) < 0.01


@pytest.mark.parametrize(("which", "steps"), [("gan", 5), ("vae", 4)])
def test_strips_along_what_the_first_layer_finds(which, steps, tmp_path, request):
    run, out = request.getfixturevalue(which), tmp_path / "d.png"
    words = ["directions", str(run), "--count", "3", "--steps", str(steps), "--draws", "64", "--out", str(out)]
    assert main(words) == 0
    first = out.read_bytes()
    with Image.open(out) as picture:
        assert picture.size[0] == 900
    found = json.loads(out.with_suffix(".json").read_text())["directions"]
    assert [direction["name"] for direction in found] == ["1", "2", "3"]
    assert all(direction["change"] > 0 and direction["ends"] is None for direction in found)
    assert main(words) == 0
    assert out.read_bytes() == first


def test_strips_along_classes_and_attributes(gan, shapes, tmp_path, capsys):
    out = tmp_path / "d.png"
    assert main(["directions", str(gan), "--targets", "3", "7", "--draws", "128", "--out", str(out)]) == 0
    assert "explained" in capsys.readouterr().out
    found = json.loads(out.with_suffix(".json").read_text())["directions"]
    assert [direction["name"] for direction in found] == ["3", "7"]
    assert all(low <= high for low, high in (direction["ends"] for direction in found))
    words = ["--targets", "size", "--label", "2", "--draws", "64", "--out", str(out)]
    assert main(["directions", str(shapes), *words]) == 0
    assert len(json.loads(out.with_suffix(".json").read_text())["directions"][0]["vector"]) == 32


@pytest.mark.parametrize(
    ("which", "arguments", "words"),
    [
        ("gan", ["--targets", "11"], "--targets 11 given: want one of 0, 1, 2"),
        ("shapes", ["--targets", "disc"], "--targets disc given: GAN is conditioned on the label, want an attribute"),
        ("gan", ["--label", "1"], "--label 1 given: this GAN is not conditioned on labels"),
        ("shapes", ["--label", "80"], "--label 80 given: want 0 to 7"),
        ("gan", ["--steps", "1"], "--steps is 1: want 2 or more"),
        ("gan", ["--draws", "8"], "--draws is 8: want 16 or more"),
    ],
)
def test_what_cannot_be_is_one_plain_line(which, arguments, words, tmp_path, capsys, request):
    run = request.getfixturevalue(which)
    capsys.readouterr()
    assert main(["directions", str(run), "--out", str(tmp_path / "x.png"), *arguments]) == 2
    line = capsys.readouterr().err
    assert words in line
    assert line.count("\n") == 1
    assert not list(tmp_path.iterdir())
