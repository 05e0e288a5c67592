"""What every autoregressive network promises, the channel masks that keep the promise inside a pixel, and the parts
from which their readers are made."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad

from lightning_gen.errors import UserError, check_counts

__all__ = [
    "CausalConv2d",
    "CausalNet",
    "ContextBias",
    "MaskedConv2d",
    "Plane",
    "Reader",
    "WholeImageReader",
    "check_kernels",
    "check_sizes",
    "groups_of",
    "groups_of_features",
    "leftward",
    "may_see",
    "pointwise",
]


class Reader(ABC):
    """Reads the parameters of one pixel after another while the image is filled in, without doing the work of all
    earlier pixels again. Pixels are read in raster order, every one of them, each once per channel."""

    @abstractmethod
    def read(self, row: int, column: int) -> Tensor:
        """-> (B, P, 1, 1), the same numbers as the whole network gives at this pixel."""

    @abstractmethod
    def state(self) -> Iterable[Tensor]:
        """All tensors (B, ...) that hold what has been read so far."""

    @final
    def select(self, rows: Tensor) -> None:
        """Go on as if image i had been image rows[i] until now, (B,); the caller does the same to the image. Both
        must have the same context."""
        for tensor in self.state():
            tensor.copy_(tensor[rows])


class CausalNet(nn.Module, ABC):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W). Those of channel c of a pixel see every channel of the
    pixels before it in raster order and channels 0..c-1 of its own pixel, and nothing else.

    A context (B, K) says what the images are conditioned on; None where K is 0.
    """

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """All pixels at once."""

    @abstractmethod
    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        """A reader of the signed image `x`, which the caller fills in place between the calls."""


@final
class WholeImageReader(Reader):
    """The whole network for every pixel: slow, and right for every network."""

    def __init__(self, net: CausalNet, x: Tensor, context: Tensor | None = None) -> None:
        self.net, self.x, self.context = net, x, context

    def read(self, row: int, column: int) -> Tensor:
        return self.net(self.x, self.context)[:, :, row : row + 1, column : column + 1]

    def state(self) -> Iterable[Tensor]:
        return ()


def check_kernels(**kernels: int) -> None:
    """Arguments of a network, by name, that must have a middle and a side; else a UserError."""
    for name, kernel in kernels.items():
        if kernel < 3 or kernel % 2 == 0:
            raise UserError(f"net.{name} is {kernel}: want an odd number, 3 or more")


def check_sizes(channels: int, width: int, kernel: int, **counts: int) -> None:
    """What networks of masked convolutions ask of their arguments: a kernel with a middle and a side, at least one
    feature of `width` for every channel of a pixel, and 1 or more of whatever else is counted; else a UserError."""
    check_kernels(kernel=kernel)
    if width < channels:
        raise UserError(f"net.width is {width}: want at least one feature for each of {channels} channels")
    check_counts("net", **counts)


def groups_of(sizes: Sequence[int]) -> Tensor:
    """(2, 3) -> [0, 0, 1, 1, 1]: which channel of the pixel each feature belongs to."""
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))


def groups_of_features(features: int, channels: int) -> Tensor:
    """`features` hidden features shared out to the channels as evenly as possible, in order."""
    return torch.arange(features) * channels // features


def may_see(out: Tensor, into: Tensor, strictly: bool) -> Tensor:
    """(out, in, 1, 1) of True where a feature of group `out` may use one of group `into` of the same pixel: an
    earlier channel (mask A, `strictly`), or also its own (mask B)."""
    allowed = out[:, None] > into if strictly else out[:, None] >= into
    return allowed[:, :, None, None]


class ContextBias(nn.Module):
    """A linear map of the context, added to every pixel alike: V^T h (van den Oord et al. 2016b, Eq. 4).

    Args:
        context: K, 0 where there is none; then the bias is 0, and there are no weights.
        features: F.
    """

    def __init__(self, context: int, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(context, features, bias=False) if context else None

    def forward(self, context: Tensor | None) -> Tensor | float:
        """(B, K) -> (B, F)."""
        return 0.0 if self.linear is None or context is None else self.linear(context)

    def row(self, context: Tensor | None) -> Tensor | float:
        """(B, K) -> (B, 1, F)."""
        bias = self(context)
        return bias[:, None] if isinstance(bias, Tensor) else bias

    def image(self, context: Tensor | None) -> Tensor | float:
        """(B, K) -> (B, F, 1, 1)."""
        bias = self(context)
        return bias[:, :, None, None] if isinstance(bias, Tensor) else bias


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


def leftward(groups_in: Tensor, groups: Tensor, reach: int, first: bool = False) -> MaskedConv2d:
    """A convolution of a pixel and the `reach` pixels to its left, from features of the channels `groups_in` to those
    of `groups`: mask A where it is the `first`, else mask B."""
    mask = torch.ones(len(groups), len(groups_in), 1, reach + 1)
    mask[..., -1:] = may_see(groups, groups_in, strictly=first)
    return MaskedConv2d(mask, len(groups_in), len(groups), (1, reach + 1))


def pointwise(groups_in: Tensor, groups: Tensor, first: bool = False) -> MaskedConv2d:
    """The same of the pixel alone: 1x1."""
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

    def plane(self, x: Tensor) -> "Plane":
        """For a picture of the size of `x`."""
        return Plane(x, self.as_matrix(), (self.reach + 1, 2 * self.reach + 1), (self.reach, self.reach))


class Plane:
    """The padded input of one convolution, features last, filled in as it becomes known; the convolution at one place
    is a matrix product, which costs far less to start.

    Args:
        x: (B, ..., H, W), of the size of the input.
        matrix: (out, rows * columns * in), and the bias.
        kernel: rows, columns.
        padding: above, and to the left; to the right there is enough.
        stride: of the convolution.
    """

    def __init__(
        self,
        x: Tensor,
        matrix: tuple[Tensor, Tensor | None],
        kernel: tuple[int, int],
        padding: tuple[int, int],
        stride: int = 1,
    ) -> None:
        self.matrix, self.kernel, self.stride = matrix, kernel, stride
        self.top, self.left = padding
        self.height, self.width = x.shape[-2:]
        features = matrix[0].shape[1] // (kernel[0] * kernel[1])
        self.values = x.new_zeros(len(x), self.height + self.top, self.width + kernel[1] - 1, features)

    def put(self, row: int, column: int | None, value: Tensor) -> None:
        """(B, in) at one place; (B, W, in) in a whole row, where `column` is None."""
        here = slice(self.left, self.left + self.width) if column is None else self.left + column
        self.values[:, row + self.top, here] = value

    def follow(self, x: Tensor, row: int) -> None:
        """Take in what may have changed of the image `x` (B, in, H, W) since a pixel of it was read last, where one of
        this row is next: as far back as the end of the row above."""
        for changed in range(max(row - 1, 0), row + 1):
            self.put(changed, None, x[:, :, changed].mT)

    def at(self, row: int, column: int | None) -> Tensor:
        """The convolution at one place of its output, (B, out); of a whole row, (B, W, out), where `column` is None."""
        (rows, columns), stride = self.kernel, self.stride
        band = self.values[:, stride * row : stride * row + rows]
        if column is None:  # (B, rows, W, in, columns)
            return linear(band.unfold(2, columns, stride).permute(0, 2, 1, 4, 3).flatten(2), *self.matrix)
        return linear(band[:, :, stride * column : stride * column + columns].flatten(1), *self.matrix)
