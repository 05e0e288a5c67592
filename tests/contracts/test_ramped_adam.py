"""Adam with a second beta on the device: torch's Adam with the same numbers, and its states."""

import pytest
import torch
from torch.optim import SGD, Adam, AdamW

from lightning_gen.contracts.ramped_adam import RampedAdam
from lightning_gen.errors import UserError
from tests.training.capturable import HostTensors


def _params():
    torch.manual_seed(0)
    return [
        torch.randn(3, 4, requires_grad=True),
        torch.randn(5, requires_grad=True),
        torch.zeros(2, requires_grad=True),
    ]


def test_it_is_the_adam_of_torch_with_a_beta_that_moves():
    ours, theirs = _params(), _params()
    adam = Adam(theirs, lr=0.01, betas=(0.5, 0.9), eps=1e-6)
    ramped = RampedAdam.like(Adam(ours, lr=0.01, betas=(0.5, 0.9), eps=1e-6))
    for step in range(30):
        value = 0.9 + 0.003 * step
        ramped.set_beta2(value)
        adam.param_groups[0]["betas"] = (0.5, value)
        for params in (ours, theirs):
            for p in params[: 3 if step % 2 else 2]:  # the last one has no gradient at every other step
                p.grad = (p.detach() * (1 + step) + 0.1).sin()
        for optimizer in (ramped, adam):
            optimizer.step()
            optimizer.zero_grad()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    a, b = (optimizer.state_dict()["state"] for optimizer in (ramped, adam))
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].keys() == b[key].keys()
        assert a[key]["step"] == b[key]["step"]


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (lambda p: SGD(p, 0.1), "a ramp beside SGD: want torch.optim.Adam"),
        (lambda p: AdamW(p), "a ramp beside AdamW: want torch.optim.Adam"),
        (lambda p: Adam(p, amsgrad=True), "a ramp beside Adam with amsgrad: want Adam without it"),
    ],
)
def test_others_are_refused_in_one_line(optimizer, words):
    with pytest.raises(UserError, match=words):
        RampedAdam.like(optimizer(_params()))


def test_a_step_makes_nothing_on_the_host_and_reads_nothing_back():
    """On the meta device, which holds no values: a step can be captured."""
    params = [p.detach().to("meta").requires_grad_() for p in _params()]
    optimizer = RampedAdam(params, betas=(0.5, 0.9))
    optimizer.param_groups[0]["lr"] = torch.zeros((), device="meta")
    found: list[str] = []
    for step in range(2):
        for p in params:
            p.grad = torch.ones_like(p)
        with HostTensors(found if step else []):  # the first one makes the states
            optimizer.set_beta2(0.95)
            optimizer.step()
    assert found == []
