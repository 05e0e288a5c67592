"""A folded network is the same function."""

import copy

import pytest
import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.metrics.folding import fold_batch_norms


class Named(nn.Module):
    """Calls them conv and bn."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(6, 5, 3, bias=False), nn.BatchNorm2d(5)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


@torch.no_grad()
def test_folding_changes_no_output():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, bias=True), nn.BatchNorm2d(6), nn.ReLU(), Named(), nn.BatchNorm2d(5))
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.2, 3)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    net.double().eval()
    x = torch.randn(4, 3, 9, 9, dtype=torch.float64)
    folded = fold_batch_norms(copy.deepcopy(net))
    assert torch.allclose(folded(x), net(x), rtol=1e-12, atol=1e-12)
    left = [type(module) for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) == 1  # the one that follows no convolution


def test_a_network_in_training_is_refused():
    with pytest.raises(UserError, match=r"net is a Sequential in training mode: want eval mode"):
        fold_batch_norms(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
