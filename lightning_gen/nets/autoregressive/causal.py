"""What every autoregressive network is built for, and what it promises."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["CausalNet", "CausalSpec", "Reader", "WholeImageReader", "check_kernels"]


class CausalSpec:
    """What a network is built for. Its hidden features are shared out to the values of a pixel, as evenly as possible
    and in order, as red, green and blue are predicted in this order (van den Oord et al. 2016a, Section 3.4).

    Args:
        image: spec of what the network sees.
        channel_parameters: of the likelihood, one number per value of a pixel; their sum is P. A value is a channel, or
            several in a row where there are fewer values than channels, as a code is one value shown as a vector.
        context: K, length of what the images are conditioned on, 0 for nothing.
    """

    # No dataclass: the configuration library takes those apart into required arguments.
    def __init__(self, image: ImageSpec, channel_parameters: tuple[int, ...], context: int = 0) -> None:
        self.image, self.channel_parameters, self.context = image, channel_parameters, context

    @property
    def values(self) -> int:
        """V, values of a pixel."""
        return len(self.channel_parameters)

    @property
    def parameters(self) -> int:
        """P."""
        return sum(self.channel_parameters)

    def image_groups(self) -> Tensor:
        """Say which value each channel of the image belongs to, int64 (C,)."""
        return self.hidden_groups(self.image.channels)

    def hidden_groups(self, features: int) -> Tensor:
        """Say which value each of `features` hidden features belongs to, int64 (features,)."""
        return torch.arange(features) * self.values // features

    def output_groups(self) -> Tensor:
        """Say which value each parameter belongs to, int64 (P,): of (2, 3) it is [0, 0, 1, 1, 1]."""
        return torch.repeat_interleave(torch.arange(self.values), torch.tensor(self.channel_parameters))

    def check(self, width: int, kernel: int, **counts: int) -> None:
        """Check the arguments of a network of masked convolutions.

        Args:
            width: hidden features, at least one for each value of a pixel.
            kernel: odd, 3 or more.
            counts: by name, each 1 or more.

        Raises:
            UserError: an argument out of range.
        """
        check_kernels(kernel=kernel)
        if width < self.values:
            raise UserError(f"net.width is {width}: want at least one feature for each of {self.values} channels")
        check_counts("net", **counts)


class Reader(ABC):
    """Reads the parameters of one pixel after another while the image is filled in, without doing the work of all
    earlier pixels again. Pixels are visited in raster order, every one of them: `enter`, then for each channel `read`
    and a value in `pixel`, then `leave`; `descend` before each row but the first.

    Every visit does the same operations on the same memory, so that they can be captured as a CUDA graph. `row` and
    `column` make a difference modulo `period` only.
    """

    #: see above
    period: int = 1
    #: signed channels of the pixel in work, (B, C); the caller fills it in
    pixel: Tensor

    @abstractmethod
    def descend(self, row: int) -> None:
        """Begin a row: the one above is complete."""

    @abstractmethod
    def enter(self, row: int, column: int) -> None:
        """Begin a pixel."""

    @abstractmethod
    def read(self) -> Tensor:
        """Give the parameters (B, P, 1, 1) of this pixel, the same numbers as the whole network gives."""

    @abstractmethod
    def leave(self) -> None:
        """End a pixel: `pixel` holds all its channels."""

    @abstractmethod
    def state(self) -> Iterable[Tensor]:
        """Give all tensors (B, ...) that hold what has been read in the rows so far."""

    @final
    def select(self, rows: Tensor) -> None:
        """Go on, at the end of a row, as if image i had been image rows[i] until now, (B,); the caller does the same to
        the image. Both must have the same context."""
        for tensor in self.state():
            tensor.copy_(tensor[rows])


class CausalNet(nn.Module, ABC):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W). Those of channel c of a pixel see every channel of the
    pixels before it in raster order and channels 0..c-1 of its own pixel, and nothing else.

    A context (B, K) says what the images are conditioned on; None where K is 0.
    """

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute all pixels at once."""

    @abstractmethod
    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        """Make a reader of signed images of the size and type of `x`, at their first pixel."""


@final
class WholeImageReader(Reader):
    """The whole network for every pixel: slow, and right for every network."""

    def __init__(self, net: CausalNet, x: Tensor, context: Tensor | None = None) -> None:
        self.net, self.context = net, context
        self.x, self.pixel = x.new_zeros(x.shape), x.new_zeros(x.shape[:2])
        self.time = torch.zeros(1, dtype=torch.long, device=x.device)

    def descend(self, row: int) -> None:
        pass

    def enter(self, row: int, column: int) -> None:
        pass

    def read(self) -> Tensor:
        self._fill_in()
        return self.net(self.x, self.context).flatten(2).index_select(2, self.time)[..., None]

    def leave(self) -> None:
        self._fill_in()
        self.time.add_(1)

    def _fill_in(self) -> None:
        self.x.flatten(2).index_copy_(2, self.time, self.pixel[:, :, None])

    def state(self) -> Iterable[Tensor]:
        return (self.x,)


def check_kernels(**kernels: int) -> None:
    """Check that each kernel, by the name of its argument, has a middle and a side; else raise `UserError`."""
    for name, kernel in kernels.items():
        if kernel < 3 or kernel % 2 == 0:
            raise UserError(f"net.{name} is {kernel}: want an odd number, 3 or more")
