"""What in a training step a CUDA graph could not replay, found without a GPU.

The step runs on the ``meta`` device, which holds no values: whatever reads one raises, whatever gives a shape that
depends on data raises, and whatever makes a tensor on the host shows itself by its device.
"""

import traceback
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_gen.batches import Batch, to_device
from lightning_gen.contracts import AdversarialModule, DescentModule, ImageModule, RetrievalModule
from lightning_gen.contracts.alternation import frozen, weighted_sum

_MAKERS = (torch.tensor, torch.as_tensor, torch.from_numpy)


def _own_line(stack: traceback.StackSummary) -> str:
    lines = [f for f in stack if "lightning_gen/" in f.filename and "site-packages" not in f.filename]
    return f"{lines[-1].filename.split('lightning_gen/')[-1]}:{lines[-1].lineno} {lines[-1].line}" if lines else "?"


class HostTensors(TorchDispatchMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if any(isinstance(value, Tensor) and value.device.type == "cpu" for value in tree_leaves(out)):
            self.found.append(f"{func} at {_own_line(traceback.extract_stack())}")
        return out


class HostMakers(TorchFunctionMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in _MAKERS and not isinstance(args[0], Tensor):
            self.found.append(f"{func.__name__} at {_own_line(traceback.extract_stack())}")
        return func(*args, **(kwargs or {}))


def step(module: ImageModule, batch: Batch) -> None:
    """The device part of a training step, without the optimizer, which is torch's own."""
    if isinstance(module, AdversarialModule):
        for player, losses in (
            ("discriminator", module.discriminator_losses),
            ("generator", module.generator_losses),
        ):
            opponent = module.generator if player == "discriminator" else module.discriminator
            with frozen(opponent):
                _descend(module.players[player], weighted_sum(losses(batch), {})[0])
                module.steps_made[player] = 1  # the first step has every penalty that some steps have
                if terms := module.regularization(player, batch):
                    _descend(module.players[player], weighted_sum(terms, {})[0])
            module.after_step(player)
    else:
        assert isinstance(module, DescentModule | RetrievalModule)
        _descend(module, module._loss(batch))


def _descend(network: torch.nn.Module, loss: Tensor) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    network.zero_grad()


def host_work(module: ImageModule, batch: Batch, monkeypatch, run: Callable[..., None] = step) -> list[str]:
    """The places at which a step, after two ordinary ones, works on the host; empty for a step that can be captured."""
    batch = module.prepare(batch)
    run(module, batch)
    run(module, batch)
    module.to("meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it does not know the device
    found: list[str] = []
    with HostTensors(found), HostMakers(found):
        try:
            run(module, to_device(batch, torch.device("meta")))
        except (RuntimeError, NotImplementedError) as error:
            found.append(f"{error} at {_own_line(traceback.extract_tb(error.__traceback__))}")
    return sorted(set(found))
