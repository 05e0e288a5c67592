"""Networks from small to large pictures: every scale and size, how far they see, and a discriminator for any crop."""

from functools import partial

import pytest
import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.layers.norms import NoNorm
from lightning_gen.nets.super_resolution.discriminator import CropDiscriminator
from lightning_gen.nets.super_resolution.rrdb import RRDBNet
from lightning_gen.nets.super_resolution.srresnet import PaperSRResNet, SRResNet
from lightning_gen.nets.super_resolution.upscaler import NearestConvolution, ShuffledConvolution

CASES = {
    "srresnet": partial(SRResNet, width=4, blocks=2),
    "srresnet_nearest": partial(SRResNet, width=4, blocks=1, enlarge=NearestConvolution),
    "paper": partial(PaperSRResNet, width=4, blocks=2),
    "rrdb": partial(RRDBNet, width=4, blocks=1, growth=2),
    "rrdb_shuffled": partial(RRDBNet, width=4, blocks=1, growth=2, enlarge=ShuffledConvolution),
}


def _spec(scale, side=8, channels=3):
    return ImageSpec(channels, scale * side, scale * side, source=ImageSpec(channels, side, side))


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_every_scale_and_size(make, scale):
    net = make(_spec(scale)).eval()
    for height, width in ((8, 8), (5, 9), (1, 1)):
        assert net(torch.zeros(2, 3, height, width)).shape == (2, 3, scale * height, scale * width)


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@pytest.mark.parametrize("scale", [2, 8])
def test_no_output_depends_on_a_pixel_beyond_the_radius(make, scale):
    net = make(_spec(scale)).eval().double()
    for p in net.parameters():  # far paths would be hidden by small weights
        nn.init.normal_(p, 0.0, 0.3)
    side = 2 * net.radius + 9
    source = torch.randn(1, 3, side, 7, dtype=torch.float64, requires_grad=True)
    middle = side // 2
    out = net(source)[:, :, middle * scale : (middle + 1) * scale]
    (gradient,) = torch.autograd.grad(out.square().sum(), source)
    seen = gradient.abs().amax((0, 1, 3)).nonzero()[:, 0]
    assert int((seen - middle).abs().max()) <= net.radius
    assert int((seen - middle).abs().max()) >= net.radius - 4  # it is no mere upper bound


def test_shuffled_pixels_begin_without_a_checkerboard():
    out = ShuffledConvolution(4, 2)(torch.randn(1, 4, 6, 6))
    assert torch.allclose(out, out[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-6)


def test_the_default_begins_near_the_bilinear_picture():
    net, source = SRResNet(_spec(4), 8, 4), torch.rand(1, 3, 8, 8)
    plain = nn.functional.interpolate(source, scale_factor=4.0, mode="bilinear")
    assert (net(source) - plain).abs().max() < 0.5


def test_sizes_as_published():
    assert sum(p.numel() for p in RRDBNet(_spec(4)).parameters()) == pytest.approx(16.7e6, rel=0.01)
    assert sum(p.numel() for p in PaperSRResNet(_spec(4)).parameters()) == pytest.approx(1.55e6, rel=0.02)


@pytest.mark.parametrize("norm", [None, NoNorm])
def test_the_discriminator_takes_any_crop(norm):
    net = CropDiscriminator(_spec(4), 4, 3, **({"norm": norm} if norm else {}))
    for side in (16, 33):
        found = net(torch.randn(3, 3, side, side + 5))
        assert found.logits.shape == (3,)
        assert len(found.features) == 3
    with pytest.raises(UserError, match=r"discriminator.pairs is 6 for images of 32x32: want fewer, or 64 pixels"):
        CropDiscriminator(_spec(4), 4, 6)


@pytest.mark.parametrize(
    "spec",
    [
        ImageSpec(3, 8, 8),
        _spec(5),
        ImageSpec(3, 8, 8, source=ImageSpec(1, 4, 4)),
        ImageSpec(3, 8, 8, source=ImageSpec(3, 4, 2)),
    ],
)
def test_other_sources_are_refused(spec):
    with pytest.raises(UserError, match="want a source smaller by 2, 3, 4 or 8"):
        SRResNet(spec)
