"""Generators and discriminators: every size, spectral norms, conditions that reach the output, augmentation."""

from functools import partial

import pytest
import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.augment import (
    AdaptiveAugment,
    Brightness,
    Contrast,
    Cutout,
    DiffAugment,
    Flip,
    NoAugment,
    RampedAugment,
    Saturation,
    Translation,
)
from lightning_gen.nets.gan.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_gen.nets.gan.discriminator import AuxiliaryClassifier, Concatenation, LinearHead, Projection
from lightning_gen.nets.gan.mlp import Maxout, MLPDiscriminator, MLPGenerator
from lightning_gen.nets.gan.r3gan import R3GANDiscriminator, R3GANGenerator
from lightning_gen.nets.gan.resnet import ResNetDiscriminator, ResNetGenerator
from lightning_gen.nets.gan.spectral import SpectralNorm
from lightning_gen.nets.layers.norms import BatchNorm, ConditionalBatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm
from lightning_gen.schedules import Ramp

SPECS = [ImageSpec(1, 8, 8, classes=3), ImageSpec(3, 28, 28, classes=3), ImageSpec(3, 64, 32, classes=3)]
GENERATORS = [
    partial(DCGANGenerator, width=4),
    partial(DCGANGenerator, width=4, norm=NoNorm),
    partial(MLPGenerator, width=8),
    partial(ResNetGenerator, width=4, norm=ConditionalBatchNorm),
    partial(R3GANGenerator, width=8, most=16, blocks=1),
]
DISCRIMINATORS = [
    partial(DCGANDiscriminator, width=4),
    partial(MLPDiscriminator, width=8),
    partial(ResNetDiscriminator, width=4),
    partial(R3GANDiscriminator, width=8, most=16, blocks=1),
]
HEADS = [LinearHead, Concatenation, Projection, AuxiliaryClassifier]
TRANSFORMS = [Brightness(), Saturation(), Contrast(), Flip(), Translation(), Cutout()]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("make", GENERATORS)
def test_generators_paint_every_size_and_listen_to_the_context(make, spec):
    net, z, context = make(spec, 5, 2), torch.randn(4, 5), torch.randn(4, 2)
    for p in net.parameters():  # what is zero at start hides what is behind it
        nn.init.normal_(p, 0.0, 0.1)
    assert net(z, context).shape == (4, *spec.shape)
    assert not torch.equal(net(z, context), net(z, context + 1.0))


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("make", DISCRIMINATORS)
@pytest.mark.parametrize("head", HEADS)
def test_discriminators_judge_every_size(make, head, spec):
    x, batch = torch.randn(4, *spec.shape), {"label": torch.tensor([0, 1, 2, 0])}
    output = make(spec, head=head)(x, batch)
    assert output.logits.shape == (4,)
    assert (output.auxiliary is not None) == (head is AuxiliaryClassifier)
    assert output.auxiliary is None or output.auxiliary > 0


@pytest.mark.parametrize("head", [Concatenation, Projection])
def test_conditional_heads_see_the_label(head):
    net = DCGANDiscriminator(SPECS[0], 4, head=head).eval()
    x = torch.randn(3, *SPECS[0].shape)
    a, b = (net(x, {"label": torch.full((3,), label)}).logits for label in (0, 1))
    assert not torch.allclose(a, b)


def test_spectral_norms_become_one():
    net = SpectralNorm(SPECS[0], partial(ResNetDiscriminator, width=8, head=Projection), iterations=20)
    net(torch.randn(4, *SPECS[0].shape), {"label": torch.tensor([0, 1, 2, 0])})
    net.eval()
    weights = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(weights) > 8
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.detach().flatten(1), 2) == pytest.approx(1.0, abs=0.05)


def test_r3gan_blocks_are_the_identity_at_start():
    spec = ImageSpec(1, 4, 4)
    net, x = R3GANDiscriminator(spec, 8), torch.randn(2, 1, 4, 4)
    assert torch.equal(net.embed(x), net.pool(net.read(x)).flatten(1))


def test_maxout_is_the_largest_piece():
    net, x = Maxout(3, 2, 4), torch.randn(5, 3)
    assert torch.equal(net(x), net.linear(x).view(5, 2, 4).max(2).values)


@pytest.mark.parametrize("norm", [NoNorm, GroupNorm, InstanceNorm, LayerNorm])
def test_norms_without_batch_judge_each_image_alone(norm):
    x = torch.randn(4, 6, 3, 3)
    layer = norm(6, 0)
    assert torch.allclose(layer(x)[:1], layer(x[:1]), atol=1e-6)


def test_conditional_batch_norm_is_batch_norm_at_start():
    x = torch.randn(4, 6, 3, 3)
    assert torch.allclose(ConditionalBatchNorm(6, 2)(x, torch.randn(4, 2)), BatchNorm(6)(x))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: type(t).__name__)
def test_transforms_keep_the_shape_are_random_and_twice_differentiable(transform):
    torch.manual_seed(1)
    x = torch.randn(32, 3, 8, 8, requires_grad=True)
    seen = transform(x)
    assert seen.shape == x.shape
    assert not torch.equal(seen, transform(x))
    (gradient,) = torch.autograd.grad(seen.square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert x.grad.isfinite().all()


def test_translation_moves_and_fills_with_zeros():
    torch.manual_seed(0)
    x = torch.ones(64, 1, 8, 8)
    moved = Translation(0.25)(x)
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert {int(v) for v in moved.sum((1, 2, 3)).tolist()} <= {a * b for a in (6, 7, 8) for b in (6, 7, 8)}


def test_adaptive_augmentation_follows_overfitting_and_its_state_travels():
    augment = AdaptiveAugment([Flip()], target=0.5, images=100, every=20)
    augment.observe(torch.ones(10), 0)
    assert augment.probability == 0.0
    other = AdaptiveAugment([Flip()], target=0.5, images=100, every=20)
    other.load_state_dict(augment.state_dict())
    for one in (augment, other):
        one.observe(torch.ones(10), 10)
        assert float(one.probability) == pytest.approx(0.2)
    augment.observe(-torch.ones(20), 20)
    assert float(augment.probability) == pytest.approx(0.0)


def test_ramped_and_plain_augmentation():
    x = torch.randn(4, 1, 8, 8)
    assert NoAugment()(x) is x
    ramped = RampedAugment([Brightness()], Ramp(0.0, 1.0, 100))
    assert torch.equal(ramped(x), x)
    ramped.observe(torch.ones(4), 100)
    assert not (ramped(x) == x).any()
    assert not torch.equal(DiffAugment([Brightness()])(x), x)


@pytest.mark.parametrize("side", [8, 13, 28])
def test_shifts_of_diffaugment_are_as_large_as_the_authors(side):
    """The largest is round(side / 8) pixels, both ways (Zhao et al. 2020, their code: int(side * ratio + 0.5))."""
    torch.manual_seed(0)
    x = torch.zeros(4000, 1, side, side)
    x[:, :, side // 2, side // 2] = 1.0
    moved = Translation()(x).flatten(1).argmax(1)
    most = int(side * 0.125 + 0.5)
    for place in (moved // side, moved % side):
        assert sorted(set((place - side // 2).tolist())) == list(range(-most, most + 1))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ResNetGenerator(SPECS[0], 4, 2, 4), "generator.norm is BatchNorm, which sees no condition"),
        (lambda: DCGANGenerator(SPECS[0], 4, 0, 4, ConditionalBatchNorm), "ConditionalBatchNorm has no condition"),
        (lambda: MLPGenerator(SPECS[0], 4, layers=0), "generator.layers is 0: want 1 or more"),
        (lambda: MLPDiscriminator(SPECS[0], pieces=0), "discriminator.pieces is 0: want 1 or more"),
        (lambda: MLPDiscriminator(SPECS[0], dropout=1.0), "discriminator.dropout is 1.0: want 0 to 1"),
        (lambda: R3GANGenerator(SPECS[0], 4, width=8, group=5), "group is 5: want a divisor of"),
        (lambda: SpectralNorm(SPECS[0], DCGANDiscriminator, 0), "discriminator.iterations is 0: want 1 or more"),
        (lambda: AuxiliaryClassifier(ImageSpec(1, 8, 8), 4), "data has no classes"),
        (lambda: AuxiliaryClassifier(SPECS[0], 4, -1.0), "head.weight is -1.0: want 0 or more"),
        (lambda: Translation(0.0), "transform Translation.ratio is 0.0"),
        (lambda: AdaptiveAugment([], target=2.0), "augment.target is 2.0: want -1 to 1"),
        (lambda: AdaptiveAugment([], every=0), "augment.every is 0: want 1 or more"),
        (lambda: RampedAugment([], Ramp(0.0, 2.0, 5)), "augment.probability is 0.0 to 2.0: want 0 to 1"),
        (lambda: GroupNorm(4, groups=0), "norm.groups is 0: want 1 or more"),
    ],
)
def test_bad_input_is_one_line(make, words):
    with pytest.raises(UserError, match=words):
        make()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("transform", [Brightness(), Saturation(), Contrast(), Flip(), Translation(), Cutout()])
def test_a_transform_keeps_the_precision_of_its_images(transform, dtype):
    assert transform(torch.rand(4, 3, 8, 8).to(dtype)).dtype == dtype


@pytest.mark.parametrize(("side", "pixels"), [(8, 1), (12, 2), (20, 3), (28, 4), (32, 4), (36, 5)])
def test_a_translation_reaches_as_far_as_in_the_authors_code(side, pixels):
    """int(side * 0.125 + 0.5), each side by its own length; Python rounds 2.5 to 2."""
    x = torch.ones(2000, 1, side, 8)
    moved = Translation()(x)
    rows = (moved[:, 0].sum(2) > 0).sum(1)
    assert int(side - rows.min()) == pixels
    columns = (moved[:, 0].sum(1) > 0).sum(1)
    assert int(8 - columns.min()) == 1
