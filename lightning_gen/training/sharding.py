"""Weights, gradients and optimizer states shared out over the processes of a training (Rajbhandari et al. 2020; the
`fully_shard` of PyTorch), and what callbacks need to look at such a model.

FullySharded    the strategy
whole           inside, the model has all its weights, on every process
gathered        a tensor whose pieces lie on several processes -> the whole
scattered       the inverse
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from lightning_gen.errors import UserError

__all__ = ["FullySharded", "gathered", "local", "scattered", "whole"]


@final
class FullySharded(ModelParallelStrategy):
    """Each process keeps its piece of every weight and of its optimizer states. A training step gathers all weights at
    once, and scatters the gradients after its backward pass: between steps a process holds 1/N of everything, within
    one all weights and gradients. A checkpoint is what one process would have written, and any number goes on with it.

    Also for processes on the CPU (gloo), which is how it is tested. Statistics in buffers are those of the first
    process, as under ``ddp``.

    Raises:
        UserError: `check`, for a model that descends by itself.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)
        self.settled = False

    def check(self, module: LightningModule) -> None:
        """Raise for a model that this strategy cannot train."""
        if not module.automatic_optimization:
            name = type(module).__name__
            raise UserError(f"trainer.strategy is FullySharded: {name} has two players in one step, want strategy ddp")

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: Any) -> None:
        # Lightning's own asks each model to share itself out; the one above it asks `_setup_model`.
        super(ModelParallelStrategy, self).setup(trainer)

    def _setup_model(self, model: nn.Module) -> nn.Module:
        for parameter in model.parameters():  # pieces are rows of memory: other orders of it are refused
            parameter.data = parameter.data.contiguous()
        fully_shard(model, mesh=self.device_mesh["data_parallel"])
        # Weights are gathered before it and gradients scattered after it: nobody calls a model's forward.
        register_fsdp_forward_method(model, "training_step")
        return model

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        assert isinstance(self.lightning_module, LightningModule)
        self._agree_on_buffers(self.lightning_module)
        result = super().training_step(*args, **kwargs)
        if not self.settled:
            self.settled = True
            _keep(self.lightning_module)
        return result

    def _agree_on_buffers(self, module: nn.Module) -> None:
        if self.world_size > 1:
            for buffer in module.buffers():
                torch.distributed.broadcast(buffer, 0)


@torch.no_grad()
def _keep(module: nn.Module) -> None:
    """What the first forward pass did to the gathered weights themselves, such as the data-dependent start of an
    activation norm, goes into their pieces, which is all that is left of them after the step."""
    found = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    assert isinstance(module, FSDPModule)
    module.reshard()
    for name, parameter in module.named_parameters():
        parameter.copy_(scattered(found[name], parameter))


@contextmanager
def whole(module: nn.Module) -> Iterator[None]:
    """Inside, every process has all weights of a model under `FullySharded`; what is done to them there is lost.
    Nothing happens to any other model. Call it on every process."""
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def gathered(value: Tensor) -> Tensor:
    """A tensor in pieces -> the whole of it, on every process; any other as it is. Call it on every process."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def local(value: Tensor) -> Tensor:
    """The piece of this process, sharing its memory; any other tensor as it is."""
    return value.to_local() if isinstance(value, DTensor) else value


def scattered(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, the same on every process -> on the device of `like`, and in pieces where `like` is."""
    value = value.to(like.device)
    if isinstance(like, DTensor) and not isinstance(value, DTensor):
        return distribute_tensor(value, like.device_mesh, like.placements)
    return value
