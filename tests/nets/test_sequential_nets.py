"""Networks of autoregressive flows: causal, and entry by entry the same as in one pass."""

import pytest
import torch

from lightning_gen.nets.flow.made import MADE
from lightning_gen.nets.flow.patch_transformer import PatchTransformer

#: name -> (made with a length of context, shape of x)
CASES = {
    "made": (lambda k: MADE(6, k, 18, width=13, layers=3), (6,)),
    "made, one layer": (lambda k: MADE(6, k, 18, width=13, layers=1), (6,)),
    "made, fewer units than entries": (lambda k: MADE(9, k, 18, width=6), (9,)),
    "made of one entry": (lambda k: MADE(1, k, 2, width=4), (1,)),
    "patches": (lambda k: PatchTransformer(5, 3, k, 6, width=8, heads=2), (5, 3)),
}


def _net(name, context_dim):
    torch.manual_seed(0)
    make, shape = CASES[name]
    net = make(context_dim).double()
    for p in net.parameters():
        torch.nn.init.normal_(p, 0.0, 0.5)
    context = torch.randn(16, context_dim, dtype=torch.float64) if context_dim else None
    return net, torch.randn(16, *shape, dtype=torch.float64), context


def _of_entry(parameters, i, entries):
    """(B, P*D) -> (B, P) of a vector's entry, (B, N, P) -> (B, 1, P) of a patch."""
    return parameters[:, i : i + 1] if parameters.ndim == 3 else parameters[:, i::entries]


@pytest.mark.parametrize("context_dim", [0, 3])
@pytest.mark.parametrize("name", CASES)
def test_sequential_decoding_is_one_pass(name, context_dim):
    """Parameters, entries, and the gradients of both."""
    net, x, context = _net(name, context_dim)
    met = []

    def choose(i, parameters):
        met.append(parameters)
        return x[:, i : i + 1]

    assert torch.equal(net.decode_sequentially(len(x), choose, context), x)
    whole = net(x, context)
    for i, parameters in enumerate(met):
        torch.testing.assert_close(parameters, _of_entry(whole, i, x.shape[1]))
    weights = list(net.parameters())
    walked = torch.autograd.grad(sum(p.square().sum() for p in met), weights, allow_unused=True)
    passed = torch.autograd.grad(whole.square().sum(), weights, allow_unused=True)
    for a, b, p in zip(walked, passed, weights, strict=True):
        torch.testing.assert_close(torch.zeros_like(p) if a is None else a, torch.zeros_like(p) if b is None else b)


@pytest.mark.parametrize("name", CASES)
def test_entries_see_those_before_alone(name):
    net, x, _ = _net(name, 0)
    with torch.no_grad():
        for p in net.parameters():
            p.abs_()  # so that no path is dead by chance
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x).sum(0, keepdim=True), x)
    for i in range(x.shape[1]):
        parameters = _of_entry(jacobian, i, x.shape[1])
        seen = parameters.movedim(parameters.ndim - x.ndim + 1, 0).flatten(1).any(1)  # by entry
        assert not seen[i:].any()
        assert seen[:i].any() == bool(i)
