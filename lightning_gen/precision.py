"""The precision of what is measured, whatever the networks compute in."""

from collections.abc import Callable, Iterator
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
    cudnn: Any = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    kinds = (matmul, cudnn.conv, cudnn.rnn)
    before = [kind.fp32_precision for kind in kinds]
    older = _told(torch.get_float32_matmul_precision), _told(lambda: cudnn.allow_tf32)
    try:
        cudnn.allow_tf32 = matmul.allow_tf32 = rounded
        yield
    finally:  # torch keeps an older and a newer setting, and a difference between them breaks whoever asks for one
        if older[0] is not None:
            torch.set_float32_matmul_precision(older[0])
        if older[1] is not None:
            cudnn.allow_tf32 = older[1]
        for kind, value in zip(kinds, before, strict=True):
            kind.fp32_precision = value


def _told(read: Callable[[], Any]) -> Any:
    """An older setting, None where torch does not tell, as somebody has used the newer ones."""
    try:
        return read()
    except RuntimeError:
        return None
