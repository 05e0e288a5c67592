"""What every autoregressive network promises, and the channel masks that keep the promise inside a pixel."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

__all__ = ["CausalNet", "MaskedConv2d", "Reader", "WholeImageReader", "groups_of", "groups_of_features", "may_see"]


class Reader(ABC):
    """Reads the parameters of one pixel after another while the image is filled in, without doing the work of all
    earlier pixels again. Pixels are read in raster order, every one of them, each once per channel."""

    @abstractmethod
    def read(self, row: int, column: int) -> Tensor:
        """-> (B, P, 1, 1), the same numbers as the whole network gives at this pixel."""


class CausalNet(nn.Module, ABC):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W). Those of channel c of a pixel see every channel of the
    pixels before it in raster order and channels 0..c-1 of its own pixel, and nothing else."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """All pixels at once."""

    @abstractmethod
    def reader(self, x: Tensor) -> Reader:
        """A reader of the signed image `x`, which the caller fills in place between the calls."""


@final
class WholeImageReader(Reader):
    """The whole network for every pixel: slow, and right for every network."""

    def __init__(self, net: CausalNet, x: Tensor) -> None:
        self.net, self.x = net, x

    def read(self, row: int, column: int) -> Tensor:
        return self.net(self.x)[:, :, row : row + 1, column : column + 1]


def groups_of(sizes: Sequence[int]) -> Tensor:
    """(2, 3) -> [0, 0, 1, 1, 1]: which channel of the pixel each feature belongs to."""
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))


def groups_of_features(features: int, channels: int) -> Tensor:
    """`features` hidden features shared out to the channels as evenly as possible, in order."""
    return torch.arange(features) * channels // features


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
        """The convolution at one position: the matrix that takes (B, rows * columns * in) to (B, out), and the bias."""
        return (self.weight * self.mask).permute(0, 2, 3, 1).flatten(1), self.bias


def may_see(out: Tensor, into: Tensor, strictly: bool) -> Tensor:
    """(out, in, 1, 1) of True where a feature of group `out` may use one of group `into` of the same pixel: an
    earlier channel (mask A, `strictly`), or also its own (mask B)."""
    allowed = out[:, None] > into if strictly else out[:, None] >= into
    return allowed[:, :, None, None]
