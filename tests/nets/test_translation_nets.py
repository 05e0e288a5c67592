"""Networks of unpaired translation: sizes, patches, features, use as trained, export, and the pool of past pictures."""

from functools import partial

import pytest
import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.patch import DomainDiscriminator, WholeDomainDiscriminator
from lightning_gen.nets.gan.pool import PicturePool
from lightning_gen.nets.gan.projection import PatchProjection
from lightning_gen.nets.gan.translator import (
    AddedOutput,
    PaintedOutput,
    ResizeConvolution,
    ResNetTranslator,
    TransposedConvolution,
)
from lightning_gen.nets.gan.unet import WholeDiscriminator

ENLARGE = [ResizeConvolution, TransposedConvolution]


def _spec(height, width, into=2, out=3):
    return ImageSpec(out, height, width, source=ImageSpec(into, height, width))


@pytest.mark.parametrize("enlarge", ENLARGE)
@pytest.mark.parametrize("size", [(8, 8), (16, 12), (17, 23)])
def test_a_translator_takes_every_size_and_is_in_use_what_it_was_in_training(size, enlarge):
    net, source = ResNetTranslator(_spec(*size), 4, 2, enlarge=enlarge), torch.randn(3, 2, *size, requires_grad=True)
    trained = net.train()(source)
    assert trained.shape == (3, 3, *size)
    assert torch.equal(net.eval()(source), trained)
    assert torch.allclose(net(source[:1]), trained[:1], atol=1e-5)  # at any batch size
    (gradient,) = torch.autograd.grad(trained.square().sum(), source)
    assert (gradient.abs().amax(1) > 0).all()


@pytest.mark.parametrize("enlarge", ENLARGE)
def test_an_exported_translator_is_the_trained_one(enlarge):
    net, source = ResNetTranslator(_spec(16, 16), 4, 2, enlarge=enlarge), torch.randn(2, 2, 16, 16)
    program = torch.export.export(net.train(), (source,))
    assert torch.allclose(program.module()(source), net(source), atol=1e-5)


@pytest.mark.parametrize(("blocks", "halvings", "points"), [(1, 2, [0, 0]), (2, 0, [0, 1]), (9, 2, [0, 4])])
def test_features_are_those_of_the_paper_and_cost_no_second_pass(blocks, halvings, points):
    net, source = ResNetTranslator(_spec(16, 16), 4, blocks, halvings), torch.randn(2, 2, 16, 16)
    seen, taken = {}, {}
    for i, block in enumerate(net.blocks):
        block.register_forward_hook(lambda _, __, out, i=i: seen.update({i: out}))
    for i, conv in enumerate(net.halve):
        conv.register_forward_hook(lambda _, __, out, i=i: taken.update({i: out}))
    image, features = net.with_features(source)
    expected = [source, *taken.values(), seen[points[0]], seen[points[1]]]
    assert len(expected) == 3 + halvings
    assert all(torch.equal(a, b) for a, b in zip(features, expected, strict=True))
    assert tuple(f.shape[1] for f in features) == net.feature_channels
    assert len(seen) == blocks
    seen.clear()
    assert all(torch.equal(a, b) for a, b in zip(net.features(source), features, strict=True))
    assert len(seen) == points[1] + 1  # the encoder alone
    assert torch.equal(net(source), image)


def test_an_added_output_is_the_source_and_a_change():
    painted, added = (ResNetTranslator(_spec(16, 16, into=3), 4, 2, output=o) for o in (PaintedOutput, AddedOutput))
    added.load_state_dict(painted.state_dict())
    source = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(added(source), source + 2 * painted(source))


def _seen(net, side):
    """Rows of the input that one logit in the middle depends on, without norms, which see everything."""
    net.layers = nn.Sequential(*(m for m in net.layers if not isinstance(m, nn.InstanceNorm2d)))
    x = torch.zeros(1, 1, side, side, requires_grad=True)
    logits = net(x).logits
    (gradient,) = torch.autograd.grad(logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], x)
    rows = gradient[0, 0].abs().sum(1).nonzero()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_patches_of_a_domain_have_the_size_of_the_paper(layers, patch):
    assert _seen(DomainDiscriminator(ImageSpec(1, 128, 128), 2, layers), 128) == patch
    with pytest.raises(UserError, match=f"discriminator.layers is {layers} for pictures of 2x2 pixels: want fewer"):
        DomainDiscriminator(ImageSpec(1, 2, 2), 2, layers)


@pytest.mark.parametrize("size", [(8, 8), (32, 24), (30, 47)])
def test_a_discriminator_of_whole_pictures_says_one_thing(size):
    assert WholeDomainDiscriminator(ImageSpec(3, *size), 2)(torch.randn(2, 3, *size)).logits.shape == (2, 1, 1, 1)
    pair = WholeDiscriminator(_spec(*size), 2)
    assert pair(torch.randn(2, 3, *size), torch.randn(2, 2, *size)).logits.shape == (2, 1, 1, 1)
    if size == (32, 24):
        assert _seen(WholeDomainDiscriminator(ImageSpec(1, 32, 32), 2), 32) == 32


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(ResNetTranslator, ImageSpec(3, 16, 16)), "has the source None"),
        (partial(ResNetTranslator, ImageSpec(3, 16, 16, source=ImageSpec(3, 8, 8))), "wants one of 16x16 pixels"),
        (partial(ResNetTranslator, _spec(6, 16)), "wants 8 or more"),
        (partial(ResNetTranslator, _spec(16, 16), output=AddedOutput), "AddedOutput wants equal channels"),
        (partial(ResNetTranslator, _spec(16, 16), blocks=0), "generator.blocks is 0"),
        (partial(WholeDomainDiscriminator, ImageSpec(3, 7, 16)), "wants 8 or more"),
        (partial(WholeDiscriminator, ImageSpec(3, 16, 16)), "wants a set of pairs"),
        (partial(PicturePool, (1, 1, 1), 0), "pool.size is 0"),
    ],
)
def test_what_does_not_fit_is_one_line(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_vectors_of_places_have_length_one_and_are_those_of_their_places():
    features = (torch.randn(2, 3, 8, 8), torch.randn(2, 5, 2, 2))
    head = PatchProjection([3, 5], 7)
    places = PatchProjection.places(features, 20)
    assert [len(p.unique()) for p in places] == [20, 4]
    vectors = head(features, places)
    assert [v.shape for v in vectors] == [(2, 20, 7), (2, 4, 7)]
    assert torch.allclose(vectors[0].norm(dim=2), torch.ones(2, 20))
    row, column = divmod(int(places[0][3]), 8)
    alone = nn.functional.normalize(head.nets[0](features[0][1, :, row, column]), dim=0)
    assert torch.allclose(vectors[0][1, 3], alone, atol=1e-6)


def _pictures(first, count):
    return torch.arange(first, first + count).float()[:, None, None, None]


def test_a_pool_gives_back_what_comes_until_it_is_full_and_then_half_of_it():
    torch.manual_seed(0)
    pool, given, ages = PicturePool((1, 1, 1), 10), [], []
    for i in range(0, 3000, 3):
        out = pool(_pictures(i, 3)).flatten()
        if i < 9:
            assert torch.equal(out, _pictures(i, 3).flatten())
        given += out.tolist()
        ages += [now - old for now, old in zip(range(i, i + 3), out.tolist(), strict=True)]
    assert int(pool.count) == 10
    assert len(set(given)) == len(given) - 10  # exchanged: but for the first ten, none is returned twice
    kept = set(pool.pictures.flatten().tolist())
    assert kept.isdisjoint(given)
    assert kept | set(given) == set(map(float, range(3000)))
    assert 0.46 < sum(age > 2 for age in ages) / len(ages) < 0.54
    old = [age for age in ages if age > 2]
    assert sum(old) / len(old) == pytest.approx(20, rel=0.15)  # one of ten leaves with chance 1/2 for each that comes


def test_a_pool_takes_batches_larger_than_itself_goes_on_bit_for_bit_and_is_averaged_by_nobody():
    pool, other = PicturePool((1, 2, 2), 4), PicturePool((1, 2, 2), 4)
    new = torch.randn(9, 1, 2, 2, requires_grad=True)
    out = pool(new)
    assert out.shape == new.shape
    assert not out.requires_grad
    other.load(pool.state())
    state = torch.get_rng_state()
    first = pool(new)
    torch.set_rng_state(state)
    assert torch.equal(first, other(new))
    assert not list(pool.buffers())
    assert pool.to("meta").pictures.device.type == "meta"
