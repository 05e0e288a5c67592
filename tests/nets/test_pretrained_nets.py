"""Networks by file and hash: the right file or one plain line; features around the activation; nothing learns."""

import hashlib

import pytest
import torch
from torchvision.models import alexnet

from lightning_gen.errors import UserError
from lightning_gen.losses.perceptual import FeatureLoss
from lightning_gen.nets.pretrained import VGG19, AlexNet


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(alexnet().state_dict(), path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def test_taps_are_before_and_after_an_activation(weights):
    net = AlexNet(*weights, taps=(0, 1))
    before, after = net(torch.rand(2, 3, 64, 64))
    assert torch.equal(before.relu(), after)
    assert net(torch.rand(2, 1, 64, 64))[0].shape == before.shape  # grey is shown in all colours


def test_a_feature_loss_teaches_the_picture_alone(weights):
    net = AlexNet(*weights).train()
    assert not net.training
    x, y = torch.rand(2, 3, 64, 64, requires_grad=True), torch.rand(2, 3, 64, 64, requires_grad=True)
    FeatureLoss(net)(x, y).backward()
    assert x.grad.abs().sum() > 0
    assert y.grad is None
    assert all(p.grad is None for p in net.parameters())
    squared = [(a - b).square().mean() for a, b in zip(net(x), net(y), strict=True)]
    assert torch.allclose(FeatureLoss(net, "l2", 0.5)(x, y), 0.25 * torch.stack(squared).sum())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path, digits: AlexNet(None), "network.weights is None: want a file with the weights of torchvision"),
        (lambda path, digits: AlexNet(path), "with SHA-256 .*: want 7be5be79"),
        (lambda path, digits: AlexNet(path, ""), "want the first 8 digits of its own"),
        (lambda path, digits: VGG19(path, digits), "want the weights of torchvision's VGG19"),
    ],
)
def test_another_file_is_one_plain_line(make, words, weights):
    with pytest.raises(UserError, match=words):
        make(*weights)
