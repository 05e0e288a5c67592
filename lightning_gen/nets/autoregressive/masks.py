"""Convolutions that hide from a pixel what comes after it: the masks of van den Oord et al. 2016a, Section 3.4."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from lightning_gen.nets.autoregressive.plane import Cursor, Planes

__all__ = ["CausalConv2d", "MaskedConv2d", "leftward", "may_see", "pointwise"]


def may_see(out: Tensor, into: Tensor, strictly: bool) -> Tensor:
    """Make a mask (out, in, 1, 1), True where a feature of group `out` may use one of group `into` of the same pixel:
    an earlier channel (mask A, `strictly`), or also its own (mask B)."""
    allowed = out[:, None] > into if strictly else out[:, None] >= into
    return allowed[:, :, None, None]


class MaskedConv2d(nn.Conv2d):
    """A convolution whose weights are masked (van den Oord et al. 2016a, Section 3.4).

    Args:
        mask: broadcasts to the weights (out, in, height, width); 0 where a weight may not be used.
        channels_in: of the input.
        channels_out: of the output.
        kernel: height, width.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, channels_in: int, channels_out: int, kernel: tuple[int, int] = (1, 1)) -> None:
        super().__init__(channels_in, channels_out, kernel)
        self.register_buffer("mask", mask.float().expand_as(self.weight).clone(), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return conv2d(input, self.weight * self.mask, self.bias)

    def as_matrix(self) -> tuple[Tensor, Tensor | None]:
        """Give the convolution at one position: a matrix from (B, rows * columns * in) to (B, out), and the bias."""
        return (self.weight * self.mask).permute(0, 2, 3, 1).flatten(1), self.bias


def leftward(groups_in: Tensor, groups: Tensor, reach: int, first: bool = False) -> MaskedConv2d:
    """Make a convolution of a pixel and the `reach` pixels to its left, from features of the channels `groups_in` to
    those of `groups`: mask A where it is the `first`, else mask B."""
    mask = torch.ones(len(groups), len(groups_in), 1, reach + 1)
    mask[..., -1:] = may_see(groups, groups_in, strictly=first)
    return MaskedConv2d(mask, len(groups_in), len(groups), (1, reach + 1))


def pointwise(groups_in: Tensor, groups: Tensor, first: bool = False) -> MaskedConv2d:
    """Make the same of the pixel alone: 1x1."""
    return leftward(groups_in, groups, 0, first)


@final
class CausalConv2d(MaskedConv2d):
    """Masked convolution of the rows above and the pixels to the left; inside the pixel by channel (2016a, Figure 4).

    Args:
        groups_in: channel of the pixel that each input feature belongs to.
        groups: the same of each output feature.
        kernel: odd, of the convolution without its masked lower half.
        first: mask A, else mask B.
    """

    def __init__(self, groups_in: Tensor, groups: Tensor, kernel: int, first: bool) -> None:
        reach = kernel // 2
        mask = torch.ones(len(groups), len(groups_in), reach + 1, kernel)
        mask[:, :, -1, reach + 1 :] = 0
        mask[:, :, -1:, reach : reach + 1] = may_see(groups, groups_in, strictly=first)
        super().__init__(mask, len(groups_in), len(groups), (reach + 1, kernel))
        self.reach = reach

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(pad(input, (self.reach, self.reach, self.reach, 0)))

    def planes(self, cursor: Cursor, x: Tensor, count: int = 1) -> Planes:
        """Make the inputs of `count` such convolutions of a picture of the size of `x` (B, C, H, W)."""
        shape = len(x), x.shape[3], self.in_channels
        return Planes(cursor, shape, (self.reach + 1, 2 * self.reach + 1), self.reach, x, count)
