"""Training in memory that does not grow with depth."""

import pytest
import torch
from torch import nn

from lightning_gen.bijections.primitives.coupling import ChannelCoupling
from lightning_gen.bijections.primitives.linear import BatchNorm, NormedConv
from lightning_gen.bijections.primitives.reversible import Reversible, Stored
from lightning_gen.bijections.primitives.univariate import Affine
from lightning_gen.errors import UserError
from tests.bijections.cases import conv, glow


def _steps(chain, count, channels=4):
    torch.manual_seed(0)
    pairs = [(NormedConv(channels), ChannelCoupling(channels, glow, Affine(), False, 3)) for _ in range(count)]
    chain = chain([bijection for pair in pairs for bijection in pair]).double()
    for p in chain.parameters():
        nn.init.normal_(p, 0.0, 0.3)
    return chain


def test_reversible_gradients_are_the_stored_ones():
    gradients = []
    for chain in (_steps(Stored, 3), _steps(Reversible, 3)):
        torch.manual_seed(1)
        x = torch.randn(4, 4, 2, 2, dtype=torch.float64, requires_grad=True)
        context = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
        z, log_det = chain.train()(x, context)
        (z.square().sum() - log_det.sum()).backward()
        gradients.append([x.grad, context.grad, *(p.grad for p in chain.parameters())])
    for stored, reversible in zip(*gradients, strict=True):
        torch.testing.assert_close(reversible, stored)


def test_reversible_saves_no_more_with_more_steps():
    def saved(chain):
        count, x = 0, torch.randn(4, 4, 2, 2, dtype=torch.float64)

        def pack(tensor):
            nonlocal count
            count += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            chain(x, torch.randn(4, 3, dtype=torch.float64))
        return count

    assert saved(_steps(Reversible, 2)) == saved(_steps(Reversible, 8)) < saved(_steps(Stored, 2))
    assert saved(_steps(Stored, 8)) > 3 * saved(_steps(Stored, 2))


@pytest.mark.parametrize("module", [nn.Dropout(0.1), BatchNorm(4)], ids=lambda m: type(m).__name__)
def test_reversible_refuses_what_a_second_pass_would_do_differently(module):
    with pytest.raises(UserError, match=f"holds {type(module).__name__}: want none"):
        Reversible([ChannelCoupling(4, lambda a, b: nn.Sequential(conv(a, b), module), Affine())])
