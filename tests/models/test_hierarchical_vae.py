"""The hierarchical VAE: shapes, total probability, layers that are used, samples that follow the evidence."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from lightning_gen.images import ImageSpec
from lightning_gen.models.hierarchical_vae import HierarchicalVAE
from lightning_gen.nets.vae.ladder import Ladder

SPEC = ImageSpec(1, 4, 4, 17, classes=3)


def _images(n, spec=SPEC):
    shape = (n, *spec.shape)
    return torch.randint(spec.levels, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _ladder(spec=SPEC, **arguments):
    torch.manual_seed(0)
    model = HierarchicalVAE(spec, partial(Ladder, width=8, layers=2, channels=2), torch.optim.Adam, **arguments)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.0, 0.2)
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (1, 5, 7), (1, 1, 2)], ids=str)
def test_the_hierarchy_fits_every_size(shape):
    model = _ladder(ImageSpec(*shape, 17))
    image = _images(3, model.spec)
    log_likelihood, kl = model.terms(image)
    assert log_likelihood.shape == (3,)
    assert kl.shape == (3, len(model.net.shapes))
    assert model.net.shapes[0] == (2, 1, 1)
    for drawn in (model.sample(3), model.reconstruct(image)):
        assert (drawn.dtype, drawn.shape) == (torch.uint8, (3, *shape))
    assert torch.equal(model.reconstruct(image), model.reconstruct(image))


@torch.no_grad()
def test_total_probability_of_the_hierarchy_is_one():
    model = _ladder(ImageSpec(1, 1, 2, 3))
    world = torch.cartesian_prod(torch.arange(3), torch.arange(3)).to(torch.uint8).view(-1, 1, 1, 2)
    p = model.log_prob(world.repeat(4000, 1, 1, 1)).double().exp().view(-1, 9)
    assert (p.sum(1).mean() - 1).abs() < 5 * p.sum(1).std() / math.sqrt(len(p))


@torch.no_grad()
def test_every_layer_of_the_hierarchy_looks_at_the_image_and_reaches_it():
    model = _ladder()
    torch.manual_seed(0)
    a = model.terms(_images(2))[1]
    torch.manual_seed(0)
    b = model.terms(16 - _images(2))[1]
    assert (a != b).all(), "a layer's posterior does not depend on the image"
    noise = torch.randn(1, sum(map(math.prod, model.net.shapes)))
    first = 0
    for size in map(math.prod, model.net.shapes):
        other = noise.clone()
        other[:, first : first + size] += 1.0
        assert not torch.equal(model.net.generate(other), model.net.generate(noise)), "a layer is not used"
        first += size


@torch.no_grad()
def test_samples_of_the_hierarchy_are_distributed_as_its_evidence_says():
    model = _ladder(ImageSpec(1, 1, 2, 3))
    world = torch.cartesian_prod(torch.arange(3), torch.arange(3)).to(torch.uint8).view(-1, 1, 1, 2)
    p = model.log_prob(world.repeat(4000, 1, 1, 1)).double().exp().view(-1, 9).mean(0)
    drawn = model.sample(20000, generator=torch.Generator().manual_seed(0)).flatten(1).long()
    frequency = (3 * drawn[:, 0] + drawn[:, 1]).bincount(minlength=9) / 20000
    assert (frequency - p).abs().max() < 0.03
