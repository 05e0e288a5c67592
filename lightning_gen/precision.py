"""The precision of what is measured, whatever the networks compute in."""

import torch
from torch import Tensor

__all__ = ["at_least_float32", "full_precision"]


def at_least_float32(x: Tensor) -> Tensor:
    """Widen 16-bit numbers; float32 and float64 stay. Under autocast networks put out 16 bits, but a log-probability
    has too few digits there: bits/dim were off by up to 0.01."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def full_precision(x: Tensor) -> torch.autocast:
    """Compute nothing inside in fewer bits than `x` has."""
    return torch.autocast(x.device.type, enabled=False)
