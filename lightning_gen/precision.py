"""The precision of what is measured, whatever the networks compute in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

__all__ = ["at_least_float32", "full_precision", "products_of_float32"]


def at_least_float32(x: Tensor) -> Tensor:
    """Widen 16-bit numbers; float32 and float64 stay. Under autocast networks put out 16 bits, but a log-probability
    has too few digits there: bits/dim were off by up to 0.01."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def full_precision(x: Tensor) -> torch.autocast:
    """Compute nothing inside in fewer bits than `x` has."""
    return torch.autocast(x.device.type, enabled=False)


@contextmanager
def products_of_float32(*, rounded: bool) -> Iterator[None]:
    """Inside, a GPU multiplies float32 numbers exactly, or rounds them to TF32, which has ten bits behind the point:
    convolutions and matrix products alike, whatever torch's defaults are."""
    places: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = rounded
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value
