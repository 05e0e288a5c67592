"""Pictures made smaller or larger by a fixed filter: the sizes, borders and values of MATLAB's imresize."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from lightning_gen.errors import UserError

__all__ = ["METHODS", "Method", "resample", "resample_levels"]

Method = Literal["nearest", "bilinear", "bicubic", "lanczos"]


#: elements of a matrix that takes all pixels of a side to all new ones; larger ones would be mostly zeros
_DENSE = 1 << 16


def _box(x: Tensor) -> Tensor:
    return ((x >= -0.5) & (x < 0.5)).to(x.dtype)


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    """Keys 1981, Eq. 4, a = -0.5."""
    near, far = x.abs(), x.abs().clamp(max=2)
    inner = 1.5 * near**3 - 2.5 * near**2 + 1
    outer = -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2
    return torch.where(near <= 1, inner, outer)


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


#: name -> kernel and its width in pixels
METHODS: dict[Method, tuple[Callable[[Tensor], Tensor], float]] = {
    "nearest": (_box, 1.0),
    "bilinear": (_triangle, 2.0),
    "bicubic": (_cubic, 4.0),
    "lanczos": (_lanczos, 6.0),
}


def _taps(length: int, new: int, method: Method) -> tuple[Tensor, Tensor]:
    """Places int64 and weights float64, (new, taps) each, of the pixels that a new pixel is made of.

    The picture is mirrored at its border, the edge pixel included. Where it shrinks, the kernel is widened.
    """
    kernel, width = METHODS[method]
    scale = new / length
    shrink = min(1.0, scale)
    width = width / shrink
    middle = (torch.arange(new, dtype=torch.float64) + 0.5) / scale - 0.5
    place = (middle - width / 2).floor()[:, None] + torch.arange(math.ceil(width) + 2)
    weight = kernel((middle[:, None] - place) * shrink)
    weight = weight / weight.sum(1, keepdim=True)
    folded = place.long() % (2 * length)
    return torch.where(folded < length, folded, 2 * length - 1 - folded), weight


def _along(x: Tensor, axis: int, new: int, method: Method) -> Tensor:
    if x.shape[axis] == new:
        return x
    place, weight = (part.to(x.device) for part in _taps(x.shape[axis], new, method))
    if x.shape[axis] * new <= _DENSE:
        matrix = torch.zeros(new, x.shape[axis], dtype=weight.dtype, device=x.device).scatter_add(1, place, weight)
        return (x.movedim(axis, -1) @ matrix.to(x.dtype).T).movedim(-1, axis)
    keep = (weight != 0).any(0)
    shape = [-1 if i == axis else 1 for i in range(x.dim())]
    total: Tensor | None = None
    for where, factor in zip(place[:, keep].unbind(1), weight[:, keep].to(x.dtype).unbind(1), strict=True):
        term = x.index_select(axis, where) * factor.view(shape)
        total = term if total is None else total + term
    assert total is not None
    return total


def resample(x: Tensor, size: tuple[int, int], method: Method = "bicubic") -> Tensor:
    """Resize pictures, antialiased where they shrink.

    Args:
        x: float (B, C, h, w).
        size: (H, W), 1 or more.
        method: the filter.

    Returns:
        float (B, C, H, W); bicubic and Lanczos may leave the range of the input.

    Raises:
        UserError: no such method, or a size below 1.
    """
    if method not in METHODS:
        raise UserError(f"resampling method is {method}: want one of {', '.join(METHODS)}")
    if min(size) < 1:
        raise UserError(f"size is {size[0]}x{size[1]}: want 1 pixel or more")
    return _along(_along(x, 2, size[0], method), 3, size[1], method)


def resample_levels(image: Tensor, size: tuple[int, int], levels: int = 256, method: Method = "bicubic") -> Tensor:
    """Do the same with uint8 (B, C, h, w), values 0..levels-1 -> uint8 (B, C, H, W).

    Rows are rounded and clamped before columns: so does MATLAB, and only so its files come out again.
    """

    def rounded(x: Tensor) -> Tensor:
        return (x + 0.5).floor().clamp(0, levels - 1)

    rows = rounded(resample(image.double(), (size[0], image.shape[3]), method))
    return rounded(resample(rows, size, method)).to(torch.uint8)
