"""Every block of StyleGAN2 is the formula of the paper, written out here."""

import math
from functools import partial

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, pad

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.condition import Unconditional
from lightning_gen.nets.gan import style_layers
from lightning_gen.nets.gan.style_discriminator import (
    MappedProjection,
    StyleDiscriminator,
    _Block,
    batch_deviation,
)
from lightning_gen.nets.gan.style_generator import Mapping, StyleGenerator, Synthesis, _Layer, _ToImage
from lightning_gen.nets.gan.style_layers import EqualConv2d, EqualLinear, ModulatedConv2d, activate, normalized

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


def _close(a, b, atol=2e-5):
    assert a.shape == b.shape
    assert torch.allclose(a, b, atol=atol, rtol=1e-4), float((a - b).detach().abs().max())


def _act(x):
    return math.sqrt(2) * leaky_relu(x, 0.2)


def _enlarged(x):
    """Zeros in between, two before and one behind each axis, then the filter with gain 4: by sums, no convolution."""
    count, channels, height, width = x.shape
    between = torch.zeros(count, channels, 2 * height, 2 * width)
    between[:, :, ::2, ::2] = x
    padded = pad(between, (2, 1, 2, 1))
    return sum(
        4 * TAPS[i] * TAPS[j] * padded[:, :, i : i + 2 * height, j : j + 2 * width] for i in range(4) for j in range(4)
    )


def _filtered(x, padding):
    padded = pad(x, (padding,) * 4)
    height, width = padded.shape[2] - 3, padded.shape[3] - 3
    return sum(TAPS[i] * TAPS[j] * padded[:, :, i : i + height, j : j + width] for i in range(4) for j in range(4))


def test_learning_rates_are_equalised():
    layer, x = EqualLinear(6, 3, bias=1.0, rate=0.01), torch.randn(4, 6)
    _close(layer(x), x @ (layer.weight * 0.01 / math.sqrt(6)).T + 0.01 * layer.bias)
    assert torch.allclose(layer.bias, torch.full((3,), 100.0))
    assert 50 < float(EqualLinear(100, 100, rate=0.01).weight.detach().std()) < 150
    conv, image = EqualConv2d(2, 5, 3), torch.randn(2, 2, 6, 4)
    _close(conv(image), conv2d(image, conv.weight / math.sqrt(18), padding=1))


def test_the_mapping_normalises_both_inputs():
    net, z, context = Mapping(5, 2, 7, 2), torch.randn(3, 5), torch.randn(3, 2)
    embedded = net.embed(context)
    w = torch.cat([v / (v.square().mean(1, keepdim=True) + 1e-8).sqrt() for v in (z, embedded)], 1)
    for layer in net.layers:
        w = _act(layer(w))
    _close(net(z, context), w)
    _close(normalized(z).square().mean(1), torch.ones(3))


@pytest.mark.parametrize(("side", "up", "demodulate"), [(3, False, True), (3, True, True), (1, False, False)])
def test_modulated_convolution_is_the_grouped_form(side, up, demodulate):
    """Weights of each image, one group per image (the official code), against one convolution for all: values and
    gradients."""
    conv = ModulatedConv2d(4, 6, 5, side, up, demodulate)
    x, w = torch.randn(3, 4, 5, 7, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    weight = conv.weight / math.sqrt(4 * side**2) * conv.affine(w)[:, None, :, None, None]  # (B, O, I, k, k)
    if demodulate:
        weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    rows = x.reshape(1, 12, 5, 7)
    if up:
        grouped = conv_transpose2d(rows, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=3)
        expected = 4 * _filtered(grouped.view(3, 6, 11, 15), 1)
    else:
        expected = conv2d(rows, weight.flatten(0, 1), padding=side // 2, groups=3).view(3, 6, 5, 7)
    got = conv(x, w)
    _close(got, expected)
    tensors = [x, w, conv.weight, conv.affine.weight]
    for a, b in zip(*(torch.autograd.grad(v.square().sum(), tensors) for v in (got, expected)), strict=True):
        _close(a, b, atol=1e-3)


@pytest.mark.parametrize("side", [3, 1])
def test_a_filter_within_the_weights_is_the_filter_and_the_convolution(side, monkeypatch):
    """What runs on a GPU: values and gradients, down and up."""
    x, w = torch.randn(2, 4, 8, 6, requires_grad=True), torch.randn(2, 5)
    layers = [EqualConv2d(4, 6, side, down=True, gain=1.5)]
    up = ModulatedConv2d(4, 6, 5, 3, up=True)
    layers += [lambda v: up(v, w)] if side == 3 else []
    for layer in layers:
        found = []
        for within in (False, True):
            monkeypatch.setattr(style_layers, "folds", lambda _, within=within: within)
            y = layer(x)
            found.append((y, *torch.autograd.grad(y.square().sum(), x)))
        for a, b in zip(*found, strict=True):
            _close(a, b, atol=1e-4)


def test_a_layer_adds_one_map_of_noise_before_bias_and_activation():
    layer, x, w = _Layer(4, 6, 5, (5, 7), up=False), torch.randn(3, 4, 5, 7), torch.randn(3, 5)
    torch.nn.init.constant_(layer.strength, 0.7)
    torch.nn.init.normal_(layer.bias)
    h = layer.conv(x, w) + 0.7 * layer.fixed + layer.bias[None, :, None, None]
    _close(layer(x, w, False, None), _act(h))
    a, b, c = (layer(x, w, True, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_images_are_summed_over_resolutions_and_share_the_style_of_the_next_convolution():
    spec = ImageSpec(2, 16, 8)
    net = Synthesis(spec, 5, 3, 6)
    assert net.constant.shape == (6, 8, 4)  # 16x8 is halved once
    assert net.count == 4
    w = torch.randn(2, 4, 5)
    first, second, third = net.layers
    x = first(net.constant.expand(2, -1, -1, -1), w[:, 0], False, None)
    image = net.images[0](x, w[:, 1])
    x = third(second(x, w[:, 1], False, None), w[:, 2], False, None)
    _close(net(w), _enlarged(image) + net.images[1](x, w[:, 3]))
    assert isinstance(net.images[0], _ToImage)


def test_a_block_of_the_discriminator():
    block, x = _Block(3, 4), torch.randn(2, 3, 8, 6)
    torch.nn.init.normal_(block.second.bias)
    h = _act(conv2d(x, block.first.weight / math.sqrt(27), padding=1))
    h = conv2d(_filtered(h, 2), block.second.weight / math.sqrt(27), block.second.bias, stride=2)
    skip = conv2d(_filtered(x, 1)[:, :, ::2, ::2], block.skip.weight / math.sqrt(3))
    _close(block(x), (_act(h) + skip) / math.sqrt(2))
    assert block.skip.bias is None


def test_the_deviation_is_over_strided_groups():
    x = torch.randn(6, 2, 3, 3)
    got = batch_deviation(x, 3)
    for i in range(2):  # the groups are 0, 2, 4 and 1, 3, 5
        members = x[[i, i + 2, i + 4]]
        expected = ((members - members.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
        _close(got[i::2, 2], expected.expand(3, 3, 3))
    assert torch.equal(got[:, :2], x)
    assert batch_deviation(torch.randn(5, 2, 3, 3), 4).shape == (5, 3, 3, 3)  # 5 is prime: groups of one


def test_the_conditional_head_is_a_product_with_the_mapped_condition():
    spec = ImageSpec(1, 8, 8, classes=3)
    head, features, batch = MappedProjection(spec, 6, style=5), torch.randn(2, 6), {"label": torch.tensor([0, 2])}
    w = head.mapping(None, head.condition.vector(batch))
    _close(head(features, batch).logits, (head.score(features) * w).sum(1) / math.sqrt(5))
    with pytest.raises(UserError, match="has no condition to look at"):
        MappedProjection(spec, 6, Unconditional)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 20), (5, 16, 64), (2, 5, 5)], ids=str)
def test_every_size_and_number_of_channels(shape):
    spec = ImageSpec(*shape, classes=3)
    net = StyleGenerator(spec, 4, 2, style=6, layers=1, width=2, most=4)
    judge = StyleDiscriminator(spec, 2, 4, head=partial(MappedProjection, style=4))
    x = net(torch.randn(3, 4), torch.randn(3, 2))
    assert x.shape == (3, *shape)
    assert judge(x, {"label": torch.tensor([0, 1, 2])}).logits.shape == (3,)


def test_signals_keep_their_size_at_the_start():
    torch.manual_seed(0)
    spec = ImageSpec(3, 32, 32)
    x = torch.randn(64, 3, 32, 32)
    features = StyleDiscriminator(spec, 32, 64).embed(x).detach()
    assert 0.3 < float(features.square().mean().sqrt()) < 3
    w = Mapping(64, 0, 64, 8)(torch.randn(64, 64)).detach()
    assert 0.3 < float(w.square().mean().sqrt()) < 3
    assert float(activate(torch.randn(10_000)).square().mean()) == pytest.approx(1.04, abs=0.1)


def test_the_moving_mean_of_styles():
    net = StyleGenerator(ImageSpec(1, 8, 8), 4, style=3, layers=1, width=2, most=4)
    net.track(torch.ones(5, 3), decay=0.75)
    assert torch.allclose(net.w_mean, torch.full((3,), 0.25))


def test_bad_sizes_are_one_line():
    with pytest.raises(UserError, match=r"generator.layers is 0: want 1 or more"):
        StyleGenerator(ImageSpec(1, 8, 8), 4, layers=0)
    with pytest.raises(UserError, match=r"discriminator.group is 0: want 1 or more"):
        StyleDiscriminator(ImageSpec(1, 8, 8), group=0)
