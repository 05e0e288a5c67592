"""Layers of StyleGAN2 (Karras et al. 2020a): weights with an equalised learning rate, resampling with a low-pass
filter, the modulated convolution."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

from lightning_gen.nets.gan.filters import filtered
from lightning_gen.precision import at_least_float32, full_precision

__all__ = [
    "GAIN",
    "EqualConv2d",
    "EqualLinear",
    "ModulatedConv2d",
    "activate",
    "blur_filter",
    "folded",
    "leaky",
    "normalized",
    "shrink",
    "widths",
]

_TAPS = (1.0, 3.0, 3.0, 1.0)
#: factor on each activation: keeps the mean square of a normal signal (Karras et al. 2020a, official code)
GAIN = math.sqrt(2.0)


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2. A positive factor may stand before it as well as behind: convolutions take the gain
    into their weights, which are smaller than images."""
    return leaky_relu(x, 0.2)


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, times the gain."""
    return leaky(x) * GAIN


def normalized(x: Tensor) -> Tensor:
    """(B, F) -> (B, F), each row divided by the root of its mean square (Karras et al. 2018, Eq. 2)."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def widths(width: int, most: int, count: int) -> list[int]:
    """List channels from the finest of `count` resolutions to the coarsest: doubled each time, at most `most`."""
    return [min(width << i, most) for i in range(count)]


def _kernel(out: int, into: int, side: int) -> nn.Parameter:
    """Normal weights (O, I, k, k), channels last in memory: convolutions follow it, and are faster so."""
    return nn.Parameter(torch.randn(out, into, side, side).to(memory_format=torch.channels_last))


def blur_filter() -> Tensor:
    """Make the low-pass filter of all resampling, (4, 4), which sums to 1: outer product of [1, 3, 3, 1] / 8."""
    taps = torch.tensor(_TAPS) / sum(_TAPS)
    return torch.outer(taps, taps)


def fold_matrix(side: int) -> Tensor:
    """Make the map from a kernel (k, k) to its convolution with the filter, ((k + 3)^2, k^2)."""
    kernels = torch.eye(side**2).view(-1, 1, side, side)
    return conv2d(kernels, blur_filter().flip(0, 1)[None, None], padding=3).flatten(1).T.contiguous()


def folded(weight: Tensor, matrix: Tensor) -> Tensor:
    """Take the low-pass filter into the weights of a convolution, (O, I, k, k) -> (O, I, k + 3, k + 3): one convolution
    of more arithmetic in place of two. On an H100 in 16 bits a filter of one group per channel takes 15 times as long
    as the larger convolution that replaces both; on a CPU the arithmetic counts.

    Args:
        weight: of a convolution.
        matrix: from `fold_matrix`.
    """
    with full_precision(weight):
        rows = matrix @ weight.permute(0, 2, 3, 1).flatten(
            1, 2
        )  # (O, (k + 3)^2, I), channels last as convolutions like
    side = math.isqrt(len(matrix))
    return rows.unflatten(1, (side, side)).permute(0, 3, 1, 2)


def folds(x: Tensor) -> bool:
    """Whether filters are taken into weights: everywhere but on a CPU."""
    return x.device.type != "cpu"


def shrink(x: Tensor, kernel: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H / 2, W / 2)."""
    return filtered(x, kernel, padding=1, stride=2)


@final
class EqualLinear(nn.Module):
    """W x / sqrt(fan-in) * rate + b * rate with W from N(0, 1) / rate: each weight learns at a speed of its own scale
    (Karras et al. 2018, Section 4.1). In float32 also under mixed precision: styles and logits have few numbers.

    Args:
        into: features.
        out: features.
        bias: what the bias adds at the start.
        rate: factor on the learning rate (0.01 in the mapping network).
    """

    def __init__(self, into: int, out: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, into) / rate)
        self.bias = nn.Parameter(torch.full((out,), bias / rate))
        self.scale, self.rate = rate / math.sqrt(into), rate

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            return linear(at_least_float32(x), self.weight * self.scale, self.bias * self.rate)


@final
class EqualConv2d(nn.Module):
    """A convolution with an equalised learning rate; (B, I, H, W) -> (B, O, H, W), or half the sides.

    Args:
        into: I.
        out: O.
        side: of the kernel, odd.
        down: halve the resolution: a low-pass filter, then stride 2.
        bias: whether there is one.
        gain: factor on the result.
    """

    kernel: Tensor
    fold: Tensor

    def __init__(
        self, into: int, out: int, side: int, down: bool = False, bias: bool = True, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = _kernel(out, into, side)
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        self.scale, self.gain, self.side, self.down = gain / math.sqrt(into * side**2), gain, side, down
        self.register_buffer("kernel", blur_filter(), persistent=False)
        self.register_buffer("fold", fold_matrix(side), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        bias = None if self.bias is None else self.bias * self.gain
        if not self.down:
            return conv2d(x, weight, bias, padding=self.side // 2)
        if folds(x):
            return conv2d(x, folded(weight, self.fold), bias, stride=2, padding=1 + self.side // 2)
        if self.side == 1:  # filter and stride at once: nothing is computed that the stride would drop
            return conv2d(shrink(x, self.kernel), weight, bias)
        return conv2d(filtered(x, self.kernel, padding=2), weight, bias, stride=2)


@final
class ModulatedConv2d(nn.Module):
    """A convolution whose weights a style scales, image by image (Karras et al. 2020a, Eq. 1 and 3).

    Input and output are scaled instead of the weights, so that one plain convolution serves all images of a batch; both
    forms are equal.

    Args:
        into: channels I.
        out: channels O.
        style: length of the style S.
        side: of the kernel, odd.
        up: double the resolution: a transposed convolution of stride 2, then a low-pass filter.
        demodulate: divide by the norm that the scaled weights have.
    """

    kernel: Tensor
    fold: Tensor

    def __init__(self, into: int, out: int, style: int, side: int, up: bool = False, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = _kernel(out, into, side)
        self.affine = EqualLinear(style, into, bias=1.0)
        self.scale, self.side, self.up, self.demodulate = 1.0 / math.sqrt(into * side**2), side, up, demodulate
        self.register_buffer("kernel", blur_filter(), persistent=False)
        self.register_buffer("fold", 4.0 * fold_matrix(side), persistent=False)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Images (B, I, H, W) and styles (B, S) -> (B, O, H, W), or twice the sides."""
        x, norm = self.parts(x, w)
        return x if norm is None else x * norm

    def parts(self, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the convolution of the scaled images, and the factors (B, O, 1, 1) that demodulate it; None: none."""
        scale, weight = self.affine(w), self.weight * self.scale  # (B, I), (O, I, k, k)
        x = x * scale[:, :, None, None].to(x.dtype)
        x = self._doubled(x, weight) if self.up else conv2d(x, weight, padding=self.side // 2)
        if not self.demodulate:
            return x, None
        with full_precision(x):
            squared = scale.square() @ at_least_float32(weight).square().sum((2, 3)).T  # (B, O)
            return x, (squared + 1e-8).rsqrt()[:, :, None, None].to(x.dtype)

    def _doubled(self, x: Tensor, weight: Tensor) -> Tensor:
        if folds(x):
            return conv_transpose2d(x, folded(weight.transpose(0, 1), self.fold), stride=2, padding=2)
        # The gain of the filter is in the weights.
        x = conv_transpose2d(x, 4.0 * weight.transpose(0, 1), stride=2)  # (B, O, 2H + 1, 2W + 1)
        return filtered(x, self.kernel, padding=1)
