"""Filters that never learn, twice differentiable at the cost of filtering: torch's own second derivative of a
convolution with one group per channel runs one convolution for each channel, for weights that want no gradient."""

from typing import Any, final

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

__all__ = ["filtered", "spread"]


@final
class _Filter(torch.autograd.Function):
    """Filter each channel; the gradient is the adjoint, whose gradient is filtering again. The kernel has none."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.stride, ctx.padding, ctx.size = stride, padding, (x.shape[2], x.shape[3])
        channels = x.shape[1]
        return conv2d(x, _each(kernel, x), stride=stride, padding=padding, groups=channels)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (kernel,) = ctx.saved_tensors
        return _Spread.apply(gradient, kernel, ctx.stride, ctx.padding, ctx.size), None, None, None


@final
class _Spread(torch.autograd.Function):
    """What `_Filter` does, transposed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, padding: int, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.stride, ctx.padding = stride, padding
        shortest = [(n - 1) * stride - 2 * padding + k for n, k in zip(x.shape[2:], kernel.shape, strict=True)]
        more = [wanted - least for wanted, least in zip(size, shortest, strict=True)]
        weight, groups = _each(kernel, x), x.shape[1]
        return conv_transpose2d(x, weight, stride=stride, padding=padding, output_padding=more, groups=groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        (kernel,) = ctx.saved_tensors
        return _Filter.apply(gradient, kernel, ctx.stride, ctx.padding), None, None, None, None


def _each(kernel: Tensor, x: Tensor) -> Tensor:
    return kernel.to(x.dtype).expand(x.shape[1], 1, -1, -1)


def filtered(x: Tensor, kernel: Tensor, padding: int, stride: int = 1) -> Tensor:
    """Filter each channel alone, zeros outside.

    Args:
        x: (B, C, H, W).
        kernel: (k, l); no gradient flows into it.
        padding: zeros on each side.
        stride: 1 or more.

    Returns:
        (B, C, H', W'), with derivatives of every order with respect to `x`.
    """
    return _Filter.apply(x, kernel, stride, padding)


def spread(x: Tensor, kernel: Tensor, padding: int, stride: int, size: tuple[int, int]) -> Tensor:
    """Put each pixel's multiple of the kernel into a larger image: the adjoint of `filtered`.

    Args:
        x: (B, C, H', W').
        kernel: see `filtered`, as are `padding` and `stride`.
        padding: rows and columns that are cut off on each side.
        stride: pixels between two kernels.
        size: (H, W) of the result.
    """
    return _Spread.apply(x, kernel, stride, padding, size)
