"""Causality by Jacobian, channels included; total probability over tiny worlds; drawing pixel by pixel equals the whole
network."""

import itertools
from functools import partial

import pytest
import torch

from lightning_gen.distributions.likelihoods import Categorical, DiscretizedGaussian, LogisticMixture
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.models.autoregressive import Autoregressive
from lightning_gen.nets.causal import CausalNet, WholeImageReader
from lightning_gen.nets.masked_pixelcnn import PixelCNN
from lightning_gen.nets.pixelcnn import GatedPixelCNN

#: every causal network: (spec, parameters per channel) -> net
CASES = {
    "gated": partial(GatedPixelCNN, width=18, layers=4, kernel=5),
    "gated, kernel 3": partial(GatedPixelCNN, width=18, layers=6, kernel=3, dropout=0.2),
    "masked": partial(PixelCNN, width=9, blocks=3, kernel=5, dropout=0.2),
}
WITH_A_BLIND_SPOT = {"masked"}
SIDE = 5


def _net(name: str, channels: int, side: int = SIDE) -> CausalNet:
    torch.manual_seed(0)
    net = CASES[name](ImageSpec(channels, side, side, 3), (2,) * channels).double().eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    return net


def _by_rank(tensor: torch.Tensor, channels: int) -> torch.Tensor:
    """(C, H, W) -> (H*W*C): the order in which the channels are predicted."""
    return tensor.permute(1, 2, 0).reshape(SIDE * SIDE * channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_each_channel_sees_exactly_what_comes_before(name, channels):
    net, count = _net(name, channels), SIDE * SIDE * channels

    def outputs(flat):
        raw = net(flat.view(SIDE, SIDE, channels).permute(2, 0, 1)[None])[0]
        return _by_rank(raw.unflatten(0, (channels, 2)).sum(1), channels)

    points = torch.randn(4, count, dtype=torch.float64)  # several: rectifiers hide some paths at each
    jacobian = torch.stack([torch.autograd.functional.jacobian(outputs, x) for x in points]).abs().sum(0)
    assert (jacobian.triu() == 0).all(), "an output sees its own channel or a later one"
    earlier = torch.ones(count, count, dtype=torch.bool).tril(-1)
    seen = (jacobian[earlier] != 0).all().item()
    assert seen != (name in WITH_A_BLIND_SPOT), "blind spot: something earlier is not seen"


def test_the_masked_network_sees_all_but_its_blind_spot():
    """From the lower left corner: two columns to the right in the row above (5x5 kernel), one more per row beyond."""
    net, corner = _net("masked", 1), SIDE * (SIDE - 1)
    points = torch.randn(4, SIDE * SIDE, dtype=torch.float64)

    def output(flat):
        return net(flat.view(1, 1, SIDE, SIDE))[0].sum(0).flatten()[corner]

    jacobian = torch.stack([torch.autograd.functional.jacobian(output, x) for x in points]).abs().sum(0)
    assert (jacobian.view(SIDE, SIDE) > 0).sum(1).tolist() == [5, 5, 4, 3, 0]


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_reading_pixel_by_pixel_equals_the_whole_network(name, channels):
    net, image = _net(name, channels), torch.rand(2, channels, SIDE, SIDE, dtype=torch.float64)
    whole, filled = net(image), torch.full_like(image, 9.0)
    reader = net.reader(filled)
    for row, column, channel in itertools.product(range(SIDE), range(SIDE), range(channels)):
        own = slice(2 * channel, 2 * channel + 2)
        read = reader.read(row, column)[:, own, 0, 0]
        torch.testing.assert_close(read, whole[:, own, row, column], atol=1e-12, rtol=0)
        filled[:, channel, row, column] = image[:, channel, row, column]


def test_samples_equal_those_of_the_slow_reader(monkeypatch):
    model = _model(ImageSpec(3, 4, 5, 4))
    first = model.sample(6, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(GatedPixelCNN, "reader", lambda net, x: WholeImageReader(net, x))
    assert torch.equal(first, model.sample(6, generator=torch.Generator().manual_seed(0)))


def _model(spec, likelihood=Categorical):
    torch.manual_seed(0)
    return Autoregressive(spec, partial(GatedPixelCNN, width=9, layers=2), torch.optim.Adam, likelihood).eval()


def _world(spec):
    return torch.tensor(list(itertools.product(range(spec.levels), repeat=spec.dims)), dtype=torch.uint8).view(
        -1, *spec.shape
    )


@pytest.mark.parametrize("likelihood", [Categorical, LogisticMixture, DiscretizedGaussian])
@pytest.mark.parametrize("shape", [(1, 1, 2, 5), (1, 2, 2, 3), (3, 1, 1, 3), (2, 2, 1, 3)], ids=str)
def test_total_probability_is_one(shape, likelihood):
    spec = ImageSpec(*shape)
    total = _model(spec, likelihood).log_prob(_world(spec)).double().exp().sum()
    assert total.item() == pytest.approx(1.0, abs=1e-5)


def test_samples_follow_the_stated_probabilities():
    """3,000 samples of a world of 27 images: no frequency is off by more than five standard deviations."""
    spec, n = ImageSpec(3, 1, 1, 3), 3000
    model = _model(spec)
    p = model.log_prob(_world(spec)).detach().double().exp()
    drawn = model.sample(n, generator=torch.Generator().manual_seed(0)).view(n, 3).long() @ torch.tensor([9, 3, 1])
    frequency = drawn.bincount(minlength=27) / n
    assert ((frequency - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()


def test_completion_keeps_the_known_pixels():
    image = torch.tensor([[[[3, 1]]]], dtype=torch.uint8).repeat(20, 1, 1, 1)
    known = torch.tensor([[[[True, False]]]]).expand(20, 1, 1, 2)
    done = _model(ImageSpec(1, 1, 2, 5)).complete(image, known, torch.Generator().manual_seed(0))
    assert (done[..., 0] == 3).all()
    assert len(done[..., 1].unique()) > 1
    assert (image[..., 1] == 1).all(), "the input was changed"


@pytest.mark.parametrize(
    ("net", "arguments", "words"),
    [
        (GatedPixelCNN, {"kernel": 4}, "net.kernel is 4"),
        (GatedPixelCNN, {"width": 2}, "net.width is 2"),
        (GatedPixelCNN, {"layers": 0}, "net.layers is 0"),
        (PixelCNN, {"kernel": 4}, "net.kernel is 4"),
        (PixelCNN, {"width": 2}, "net.width is 2"),
        (PixelCNN, {"blocks": 0}, "net.blocks is 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(net, arguments, words):
    with pytest.raises(UserError, match=words):
        net(ImageSpec(3, 4, 4), (2, 2, 2), **arguments)
