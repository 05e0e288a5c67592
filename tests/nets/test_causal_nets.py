"""Causality by Jacobian, channels included; reading pixel by pixel equals the whole network."""

import itertools
from functools import partial

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.graphs import Replays
from lightning_gen.images import ImageSpec
from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec
from lightning_gen.nets.autoregressive.diagonal_bilstm import DiagonalBiLSTM
from lightning_gen.nets.autoregressive.gated_pixelcnn import GatedPixelCNN
from lightning_gen.nets.autoregressive.image_transformer import ImageTransformer
from lightning_gen.nets.autoregressive.pixelcnn import PixelCNN
from lightning_gen.nets.autoregressive.pixelcnnpp import PixelCNNpp
from lightning_gen.nets.autoregressive.raster import fill_in
from lightning_gen.nets.autoregressive.receptive_field import describe_receptive_field, pixels_seen
from lightning_gen.nets.autoregressive.row_lstm import RowLSTM
from lightning_gen.nets.autoregressive.weight_norm import WeightNormConv2d
from tests.nets.causal_cases import CASES, WHOLE_PIXELS, WITH_A_BLIND_SPOT

SIDE, CONTEXT = 5, 3


def _net(name: str, channels: int, seed: int = 0) -> CausalNet:
    torch.manual_seed(seed)
    net = CASES[name](CausalSpec(ImageSpec(channels, SIDE, SIDE, 3), (2,) * channels, CONTEXT)).double().eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    return net


def _context(n: int) -> torch.Tensor:
    return torch.randn(n, CONTEXT, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _by_rank(tensor: torch.Tensor, channels: int) -> torch.Tensor:
    """(C, H, W) -> (H*W*C): the order in which the channels are predicted."""
    return tensor.permute(1, 2, 0).reshape(SIDE * SIDE * channels)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_each_channel_sees_exactly_what_comes_before(name, channels, training):
    count = SIDE * SIDE * channels

    def outputs(flat, net):
        raw = net(flat.view(SIDE, SIDE, channels).permute(2, 0, 1)[None], _context(1))[0]
        return _by_rank(raw.unflatten(0, (channels, 2)).sum(1), channels)

    jacobian = torch.zeros(count, count, dtype=torch.float64)
    for seed in range(4):  # several networks and points: rectifiers and dropout hide some paths at each
        outputs_of = partial(outputs, net=_net(name, channels, seed).train(training))
        point = torch.randn(count, dtype=torch.float64)
        jacobian += torch.autograd.functional.jacobian(outputs_of, point).abs()
    assert (jacobian.triu() == 0).all(), "an output sees its own channel or a later one"
    earlier = torch.ones(count, count, dtype=torch.bool).tril(-1)
    if name in WHOLE_PIXELS:
        earlier &= torch.arange(count)[:, None] // channels > torch.arange(count) // channels
    unseen = (jacobian[earlier] == 0).sum().item()
    assert (unseen > 0) == (name in WITH_A_BLIND_SPOT), f"{unseen} earlier values are not seen"


def test_the_masked_network_sees_all_but_its_blind_spot():
    """From the lower left corner: two columns to the right in the row above (5x5 kernel), one more per row beyond."""
    net, corner = _net("masked", 1), SIDE * (SIDE - 1)
    points = torch.randn(4, SIDE * SIDE, dtype=torch.float64)

    def output(flat):
        return net(flat.view(1, 1, SIDE, SIDE), _context(1))[0].sum(0).flatten()[corner]

    jacobian = torch.stack([torch.autograd.functional.jacobian(output, x) for x in points]).abs().sum(0)
    assert (jacobian.view(SIDE, SIDE) > 0).sum(1).tolist() == [5, 5, 4, 3, 0]


def test_a_row_lstm_sees_a_triangle():
    """From the middle of the last row: one more column to the right per row above, for the convolution of its state
    (Figure 4), one on either side for the convolution of the input, and one to the left for that of the image."""
    torch.manual_seed(0)
    net = RowLSTM(CausalSpec(ImageSpec(1, 5, 9), (2,)), width=4, layers=1, kernel=3).double()
    x = torch.randn(1, 1, 5, 9, dtype=torch.float64, requires_grad=True)
    net(x)[0, :, 4, 4].sum().backward()
    seen = (x.grad[0, 0] != 0).long()
    assert seen.sum(1).tolist() == [9, 8, 7, 5, 2]
    assert [int(row.nonzero().max()) for row in seen] == [8, 7, 6, 5, 3]


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_reading_pixel_by_pixel_equals_the_whole_network(name, channels):
    net, image = _net(name, channels), torch.rand(2, channels, SIDE, SIDE, dtype=torch.float64)
    whole, filled = net(image, _context(2)), torch.full_like(image, 9.0)
    reader = net.reader(filled, _context(2))

    def fill(row, column):
        for channel in range(channels):
            own = slice(2 * channel, 2 * channel + 2)
            read = reader.read()[:, own, 0, 0]
            torch.testing.assert_close(read, whole[:, own, row, column], atol=1e-12, rtol=0)
            reader.pixel[:, channel] = image[:, channel, row, column]

    fill_in(reader, (SIDE, SIDE), fill, Replays(image.device))


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_a_reader_goes_on_from_another_image(name, channels):
    """Two images are read to the end of a row; from there on the first is what the second was."""
    net, image = _net(name, channels), torch.rand(2, channels, SIDE, SIDE, dtype=torch.float64)
    context = _context(1).expand(2, -1)
    reader, rows = net.reader(image, context), torch.tensor([1, 1])
    other = torch.cat([image[rows, :, :2], image[:, :, 2:]], 2)
    whole, ends = net(other, context), itertools.count()

    def fill(row, column):
        read = None
        for channel in range(channels):
            read = reader.read()[..., 0, 0]
            reader.pixel[:, channel] = image[:, channel, row, column]
        if row >= 2:
            torch.testing.assert_close(read, whole[:, :, row, column], atol=1e-12, rtol=0)

    def after_row():
        if next(ends) == 1:
            reader.select(rows)

    fill_in(reader, (SIDE, SIDE), fill, Replays(image.device), after_row)


def test_a_first_batch_settles_the_scale_of_pixelcnnpp():
    """Every convolution puts out mean 0 and its gain on the first batch in training, and moves no more after it."""
    torch.manual_seed(0)
    net = PixelCNNpp(CausalSpec(ImageSpec(1, 8, 8), (4,)), width=8, blocks=1, stages=2)
    x = torch.randn(16, 1, 8, 8)
    raw = net(x)
    torch.testing.assert_close(raw.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(raw.std((0, 2, 3)), torch.full((4,), 0.1), atol=1e-3, rtol=0)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net(2.0 * x)
    copy = PixelCNNpp(CausalSpec(ImageSpec(1, 8, 8), (4,)), width=8, blocks=1, stages=2)
    copy.load_state_dict(before)
    copy.train()(3.0 * x)
    for other in (net.state_dict(), copy.state_dict()):
        assert all(torch.equal(value, other[key]) for key, value in before.items())


@pytest.mark.parametrize(
    ("net", "arguments", "words"),
    [
        (GatedPixelCNN, {"kernel": 4}, "net.kernel is 4"),
        (GatedPixelCNN, {"width": 2}, "net.width is 2"),
        (GatedPixelCNN, {"layers": 0}, "net.layers is 0"),
        (PixelCNN, {"kernel": 4}, "net.kernel is 4"),
        (PixelCNN, {"width": 2}, "net.width is 2"),
        (PixelCNN, {"blocks": 0}, "net.blocks is 0"),
        (PixelCNNpp, {"width": 0}, "net.width is 0"),
        (PixelCNNpp, {"blocks": 0}, "net.blocks is 0"),
        (PixelCNNpp, {"stages": 0}, "net.stages is 0"),
        (PixelCNNpp, {"stages": 4}, "net.stages is 4: want fewer"),
        (RowLSTM, {"kernel": 4}, "net.kernel is 4"),
        (RowLSTM, {"width": 2}, "net.width is 2"),
        (RowLSTM, {"layers": 0}, "net.layers is 0"),
        (RowLSTM, {"across": 2}, "net.across is 2"),
        (DiagonalBiLSTM, {"layers": 0}, "net.layers is 0"),
        (ImageTransformer, {"kernel": 4}, "net.kernel is 4"),
        (ImageTransformer, {"layers": 0}, "net.layers is 0"),
        (ImageTransformer, {"heads": 0}, "net.heads is 0"),
        (ImageTransformer, {"width": 10}, "net.width is 10: want a multiple of 4 heads"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(net, arguments, words):
    with pytest.raises(UserError, match=words):
        net(CausalSpec(ImageSpec(3, 4, 4), (2, 2, 2)), **arguments)


def test_a_first_batch_far_from_zero_settles_the_scale_too():
    torch.manual_seed(0)
    conv = WeightNormConv2d(2, 3)
    out = conv.train()(1e4 + torch.randn(64, 2, 4, 4))
    torch.testing.assert_close(out.std((0, 2, 3)), torch.ones(3), atol=0.02, rtol=0)


@pytest.mark.parametrize("name", sorted(CASES.keys() - WITH_A_BLIND_SPOT))
def test_what_a_network_sees_is_computed_and_leaves_it_as_it_was(name):
    net, spec = _net(name, 3).train(), ImageSpec(3, SIDE, SIDE, 3)
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    seen = pixels_seen(net, spec, [(0, 0), (4, 0), (4, 4)], CONTEXT).flatten(1).sum(1).tolist()
    own = 0 if name in WHOLE_PIXELS else 1  # the channels of the pixel itself
    assert seen == [own, 20 + own, 24 + own]
    assert net.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_blind_spot_is_said_in_one_line():
    line = describe_receptive_field(_net("masked", 1), ImageSpec(1, SIDE, SIDE), CONTEXT)
    assert line == "PixelCNN at 5x5: of the last row the pixels 1, 3 and 5 see 17 of 20, 22 of 22, 24 of 24 before"
    small = GatedPixelCNN(CausalSpec(ImageSpec(1, 9, 9), (2,)), width=4, layers=2)
    assert "see 27 of 72" not in describe_receptive_field(small, ImageSpec(1, 9, 9))
    assert pixels_seen(small, ImageSpec(1, 9, 9), [(8, 8)]).sum() < 80, "two layers of three do not reach the top"
