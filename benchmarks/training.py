"""What benchmarks of training time: one step on a batch that lies in memory."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["parameters", "training_step"]


def training_step(module: nn.Module, loss: Callable[[], Tensor], rate: float = 1e-3) -> Callable[[], None]:
    """A call is a step of Adam with this learning rate on all of `module`, down the gradient of the scalar `loss()`."""
    optimizer = torch.optim.Adam(module.parameters(), rate)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def parameters(module: nn.Module) -> int:
    """How many numbers `module` learns."""
    return sum(p.numel() for p in module.parameters())
