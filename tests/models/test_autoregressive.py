"""Causality by Jacobian, and total probability over a tiny world."""

import itertools
from functools import partial

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.models.autoregressive import Autoregressive
from lightning_gen.nets.pixelcnn import GatedPixelCNN


@pytest.mark.parametrize("training", [True, False])
def test_gated_pixelcnn_is_causal_and_sees_everything_before(training):
    torch.manual_seed(0)
    net = GatedPixelCNN(ImageSpec(1, 6, 6, 3), 3, width=8, layers=6, kernel=5).double().train(training)
    x = torch.rand(1, 1, 6, 6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda flat: net(flat.view(1, 1, 6, 6))[0].sum(0).flatten(), x.flatten()
    )
    assert (jacobian.triu() == 0).all(), "a logit sees its own pixel or a later one"
    below = torch.ones(36, 36, dtype=torch.bool).tril(-1)
    assert (jacobian[below] != 0).all(), "blind spot: an earlier pixel is not seen"


def _tiny():
    torch.manual_seed(0)
    spec = ImageSpec(1, 1, 2, 5)
    return Autoregressive(spec, partial(GatedPixelCNN, width=8, layers=2), torch.optim.Adam).eval()


def test_total_probability_is_one():
    world = torch.tensor(list(itertools.product(range(5), repeat=2)), dtype=torch.uint8).view(25, 1, 1, 2)
    assert _tiny().log_prob(world).exp().sum().item() == pytest.approx(1.0, abs=1e-5)


def test_completion_keeps_the_known_pixels():
    image = torch.tensor([[[[3, 1]]]], dtype=torch.uint8).repeat(20, 1, 1, 1)
    known = torch.tensor([[[[True, False]]]]).expand(20, 1, 1, 2)
    done = _tiny().complete(image, known, torch.Generator().manual_seed(0))
    assert (done[..., 0] == 3).all()
    assert len(done[..., 1].unique()) > 1
    assert (image[..., 1] == 1).all(), "the input was changed"


def test_colour_is_refused_in_one_line():
    with pytest.raises(UserError, match="3 channels"):
        Autoregressive(ImageSpec(3, 4, 4), GatedPixelCNN, torch.optim.Adam)
