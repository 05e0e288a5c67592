"""Numbers that are not finite, found in tensors."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

__all__ = ["finite_weights"]


@torch.no_grad()
def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether every value of floating tensors is finite; the device is read once."""
    found = [tensor.isfinite().all() for tensor in tensors if tensor.is_floating_point()]
    return not found or bool(torch.stack(found).all())


@torch.no_grad()
def finite_weights(module: nn.Module, part: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> bool:
    """Return whether all parameters are finite, and no buffer holds a NaN (a mask may be infinite).

    Args:
        module: of any kind.
        part: takes what this process holds of each tensor.
    """
    buffers = [part(buffer).isnan().any() for buffer in module.buffers() if buffer.is_floating_point()]
    return all_finite(map(part, module.parameters())) and not (buffers and bool(torch.stack(buffers).any()))
