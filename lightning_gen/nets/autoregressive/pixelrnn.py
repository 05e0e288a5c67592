"""PixelRNN (van den Oord et al. 2016a, Section 3): a masked convolution, residual LSTM layers, two 1x1 convolutions.

`RowLSTM` goes down the rows and sees a triangle above each pixel; `DiagonalBiLSTM` goes along the diagonals from both
upper corners and sees everything before the pixel.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from lightning_gen.images import ImageSpec
from lightning_gen.nets.autoregressive.causal import (
    CausalConv2d,
    CausalNet,
    ContextBias,
    MaskedConv2d,
    Reader,
    check_kernels,
    check_sizes,
    groups_of,
    groups_of_features,
    leftward,
    may_see,
    pointwise,
)

__all__ = ["DiagonalBiLSTM", "RowLSTM"]


def _cell(gates: Tensor, c: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Eq. 3: gates o, f, i, g along `dim` and the cell before -> hidden and cell."""
    o, f, i, g = gates.chunk(4, dim)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class _LayerReader(ABC):
    """A layer at one pixel after another."""

    @abstractmethod
    def descend(self, pixels: Tensor) -> None:
        """A row of the image is complete, (B, W, C): go on to the next."""

    @abstractmethod
    def at(self, row: int, column: int, x: Tensor) -> Tensor:
        """Input (B, 2 h) -> hidden (B, h) at a pixel, as often as its input changes."""

    @abstractmethod
    def state(self) -> Iterable[Tensor]:
        """All tensors (B, ...) that hold what has been read."""


class _Layer(nn.Module, ABC):
    """From the input map (B, 2 h, H, W) to the hidden states (B, h, H, W)."""

    @abstractmethod
    def forward(self, x: Tensor, image: Tensor, context: Tensor | None) -> Tensor:
        """All pixels at once; of the signed image itself a state may see rows above."""

    @abstractmethod
    def reader(self, x: Tensor, context: Tensor | None) -> _LayerReader:
        """For a picture of the size of `x`."""


class _PixelRNN(CausalNet):
    """Table 1 and Figure 5: what both networks have in common. Of its arguments the last is not theirs.

    Args:
        layer: called with the channels of the pixel that each input feature and each hidden feature belong to.
    """

    def __init__(
        self,
        spec: ImageSpec,
        channel_parameters: tuple[int, ...],
        width: int,
        layers: int,
        kernel: int,
        layer: Callable[[Tensor, Tensor], _Layer],
    ) -> None:
        super().__init__()
        check_sizes(spec.channels, width, kernel, layers=layers)
        inner, outer = groups_of_features(width, spec.channels), groups_of_features(2 * width, spec.channels)
        self.first = CausalConv2d(torch.arange(spec.channels), outer, kernel, first=True)
        self.layers = nn.ModuleList(layer(outer, inner) for _ in range(layers))
        self.widen = nn.ModuleList(pointwise(inner, outer) for _ in range(layers))
        self.head = nn.ModuleList([pointwise(outer, outer), pointwise(outer, groups_of(channel_parameters))])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.first(x)
        for layer, widen in zip(self.layers, self.widen, strict=True):
            h = h + widen(layer(h, x, context))
        for mix in self.head:
            h = mix(h.relu())
        return h

    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        return _RecurrentReader(self, x, context)


class _RecurrentReader(Reader):
    """Every layer once per pixel, from its states at the pixels before."""

    def __init__(self, net: _PixelRNN, x: Tensor, context: Tensor | None) -> None:
        self.x, self.row, self.first = x, 0, net.first.plane(x)
        self.layers: list[_LayerReader] = [layer.reader(x, context) for layer in net.layers]  # type: ignore
        self.widen = [mix.as_matrix() for mix in net.widen]  # type: ignore[operator, union-attr]
        self.head = [mix.as_matrix() for mix in net.head]  # type: ignore[operator, union-attr]

    def read(self, row: int, column: int) -> Tensor:
        if row > self.row:
            self.row = row
            for layer in self.layers:
                layer.descend(self.x[:, :, row - 1].mT)
        self.first.follow(self.x, row)
        h = self.first.at(row, column)
        for layer, widen in zip(self.layers, self.widen, strict=True):
            h = h + linear(layer.at(row, column, h), *widen)
        for mix in self.head:
            h = linear(h.relu(), *mix)
        return h[:, :, None, None]

    def state(self) -> Iterable[Tensor]:
        yield self.first.values
        for layer in self.layers:
            yield from layer.state()


class _RowLayer(_Layer):
    """Section 3.1. The state of a row comes from that of the row above by a convolution along the row.

    Args:
        outer: channel of the pixel that each input feature belongs to.
        inner: the same of each hidden feature.
        context: K.
        kernel: odd, of both convolutions along the row.
    """

    def __init__(self, outer: Tensor, inner: Tensor, context: int, kernel: int) -> None:
        super().__init__()
        self.reach, width, gates = kernel // 2, len(inner), inner.repeat(4)
        self.from_input = leftward(outer, gates, self.reach)
        self.from_state = nn.Conv1d(width, len(gates), kernel, padding=self.reach, bias=False)
        self.context = ContextBias(context, len(gates))

    def forward(self, x: Tensor, image: Tensor, context: Tensor | None) -> Tensor:
        gates = self.from_input(pad(x, (self.reach, 0))) + self.context.image(context)
        h = c = x.new_zeros(len(x), self.from_state.in_channels, x.shape[3])
        rows = []
        for row in gates.unbind(2):
            h, c = _cell(row + self.from_state(h), c, 1)
            rows.append(h)
        return torch.stack(rows, 2)

    def reader(self, x: Tensor, context: Tensor | None) -> _LayerReader:
        return _RowLayerReader(self, x, context)


class _RowLayerReader(_LayerReader):
    """The state of the row above is convolved once; the rest is done pixel by pixel."""

    def __init__(self, layer: _RowLayer, x: Tensor, context: Tensor | None) -> None:
        self.layer, self.reach, self.bias = layer, layer.reach, layer.context(context)
        (batch, _, _, columns), width = x.shape, layer.from_state.in_channels
        self.from_input = layer.from_input.as_matrix()
        self.line = x.new_zeros(batch, columns + self.reach, layer.from_input.in_channels)
        self.h, self.c, self.above = (x.new_zeros(batch, columns, width * n) for n in (1, 1, 4))
        self.c_above = self.c.clone()

    def descend(self, pixels: Tensor) -> None:
        self.above = self.layer.from_state(self.h.mT).mT.contiguous()
        self.c_above = self.c.clone()

    def at(self, row: int, column: int, x: Tensor) -> Tensor:
        self.line[:, column + self.reach] = x
        window = self.line[:, column : column + self.reach + 1].flatten(1)
        gates = linear(window, *self.from_input) + self.bias + self.above[:, column]
        h, self.c[:, column] = _cell(gates, self.c_above[:, column], 1)
        self.h[:, column] = h
        return h

    def state(self) -> Iterable[Tensor]:
        return self.line, self.h, self.c, self.above, self.c_above


@final
class RowLSTM(_PixelRNN):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W). It has a blind spot: what lies outside a triangle above the
    pixel (Figure 4, middle).

    Args:
        spec: of the images.
        channel_parameters: of the likelihood, one number per channel; their sum is P.
        context: K, length of what the images are conditioned on, 0 for nothing; it shifts the gates.
        width: h, hidden features, at least one per channel; twice as many between the layers.
        layers: residual LSTM layers, 1 or more (paper: 12).
        kernel: odd, of the first convolution.
        across: odd, of the convolutions along a row (paper: 3).

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        channel_parameters: tuple[int, ...],
        context: int = 0,
        width: int = 32,
        layers: int = 4,
        kernel: int = 7,
        across: int = 3,
    ) -> None:
        check_kernels(across=across)
        layer = partial(_RowLayer, context=context, kernel=across)
        super().__init__(spec, channel_parameters, width, layers, kernel, layer)


class _DiagonalLayer(_Layer):
    """Section 3.2 to 3.3. The left half goes from the upper left corner along the diagonals, the right half from the
    upper right; a state comes from its neighbours above and behind. The right half is added one row late, so that
    it sees only rows above. Of these it takes in the image itself too, which the paper does not say: the input map is
    behind mask A, which would hide the last pixel of the row above from both halves.

    Args:
        outer: channel of the pixel that each input feature belongs to.
        inner: the same of each hidden feature.
        channels: of the image.
        context: K.
    """

    def __init__(self, outer: Tensor, inner: Tensor, channels: int, context: int) -> None:
        super().__init__()
        gates = inner.repeat(4)
        self.width = len(inner)
        # Strictly above a pixel all its channels are known: the right half needs no mask.
        mask = torch.cat([may_see(gates, outer, strictly=False), torch.ones(len(gates), len(outer), 1, 1)])
        self.from_input = MaskedConv2d(mask, len(outer), 2 * len(gates))
        self.from_image = nn.Conv2d(channels, len(gates), 1, bias=False)
        #: of both halves, from the state behind and above to the gates
        self.from_state = nn.Parameter(torch.empty(2, 2 * self.width, len(gates)))
        nn.init.uniform_(self.from_state, -((2 * self.width) ** -0.5), (2 * self.width) ** -0.5)
        self.context = ContextBias(context, 2 * len(gates))

    def forward(self, x: Tensor, image: Tensor, context: Tensor | None) -> Tensor:
        left, right = (self.from_input(x) + self.context.image(context)).chunk(2, 1)
        gates = torch.stack([left, (right + self.from_image(image)).flip(3)]).permute(0, 1, 3, 4, 2)
        h_left, h_right = _along_diagonals(gates, self.from_state)
        h = h_left + pad(h_right.flip(2), (0, 0, 0, 0, 1, -1))
        return h.permute(0, 3, 1, 2)

    def reader(self, x: Tensor, context: Tensor | None) -> _LayerReader:
        return _DiagonalLayerReader(self, x, context)


def _along_diagonals(gates: Tensor, from_state: Tensor) -> Tensor:
    """gates (2, B, H, W, 4 h) from the input -> hidden states (2, B, H, W, h), each from those to its left and above.

    On the skewed map, in which row i lies i columns further right (Figure 3), a column is a diagonal: its pixels do not
    need one another. Places of the skewed map outside the picture are not computed.
    """
    (_, batch, height, width, four), steps = gates.shape, gates.shape[2] + gates.shape[3] - 1
    skewed = _skew(gates)
    h = c = gates.new_zeros(2, batch, 0, four // 4)
    first, columns = 0, []  # the first row of the column before that is in the picture
    for step in range(steps):
        begin, end = max(0, step + 1 - width), min(height, step + 1)
        own, over = slice(begin - first + 1, end - first + 1), slice(begin - first, end - first)
        h, c = (pad(state, (0, 0, 1, 1)) for state in (h, c))
        seen = torch.cat([h[:, :, own], h[:, :, over]], -1).flatten(1, 2)
        recurrent = torch.bmm(seen, from_state).unflatten(1, (batch, end - begin))
        h, c = _cell(skewed[:, :, begin:end, step] + recurrent, c[:, :, own], -1)
        columns.append(pad(h, (0, 0, begin, height - end)))
        first = begin
    return _straighten(torch.stack(columns, 3), width)


def _skew(x: Tensor) -> Tensor:
    """(..., H, W, F) -> (..., H, H + W - 1, F): row i moves i to the right."""
    height, width = x.shape[-3:-1]
    flat = pad(x, (0, 0, 0, height)).flatten(-3, -2)[..., : height * (height + width - 1), :]
    return flat.unflatten(-2, (height, height + width - 1))


def _straighten(x: Tensor, width: int) -> Tensor:
    """The inverse of `_skew`."""
    height = x.shape[-3]
    flat = pad(x.flatten(-3, -2), (0, 0, 0, height))
    return flat.unflatten(-2, (height, height + width))[..., :width, :]


class _DiagonalLayerReader(_LayerReader):
    """The left half pixel by pixel; the right half, once a row is complete, from right to left."""

    def __init__(self, layer: _DiagonalLayer, x: Tensor, context: Tensor | None) -> None:
        self.width, (batch, _, _, columns) = layer.width, x.shape
        (matrix, bias), shift = layer.from_input.as_matrix(), layer.context(context)
        self.left, self.right = ((m, b) for m, b in zip(matrix.chunk(2), bias.chunk(2), strict=True))  # type: ignore
        self.shifts = shift.chunk(2, 1) if isinstance(shift, Tensor) else (shift, shift)
        self.from_left, self.from_right = layer.from_state.mT
        self.from_image = layer.from_image.weight[:, :, 0, 0]
        self.line = x.new_zeros(batch, columns, layer.from_input.in_channels)
        # One column of zeros before the first, of the left half to its left, of the right half to its right.
        self.h_left, self.c_left, self.h_right, self.c_right = (
            x.new_zeros(batch, columns + 1, self.width) for _ in range(4)
        )
        self.above = self.h_left.clone()

    def descend(self, pixels: Tensor) -> None:
        self.above = self.h_left.clone()
        shift = self.shifts[1]
        gates = linear(self.line, *self.right) + linear(pixels, self.from_image)
        gates += shift[:, None] if isinstance(shift, Tensor) else shift
        for column in reversed(range(self.line.shape[1])):
            seen = torch.cat([self.h_right[:, column + 1], self.h_right[:, column]], 1)
            recurrent = linear(seen, self.from_right)
            h, c = _cell(gates[:, column] + recurrent, self.c_right[:, column + 1], 1)
            self.h_right[:, column], self.c_right[:, column] = h, c

    def at(self, row: int, column: int, x: Tensor) -> Tensor:
        self.line[:, column] = x
        seen = torch.cat([self.h_left[:, column], self.above[:, column + 1]], 1)
        gates = linear(x, *self.left) + self.shifts[0] + linear(seen, self.from_left)
        h, self.c_left[:, column + 1] = _cell(gates, self.c_left[:, column], 1)
        self.h_left[:, column + 1] = h
        return h + self.h_right[:, column]

    def state(self) -> Iterable[Tensor]:
        return self.line, self.h_left, self.c_left, self.h_right, self.c_right, self.above


@final
class DiagonalBiLSTM(_PixelRNN):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W), without a blind spot (Figure 4, right).

    Args:
        spec: of the images.
        channel_parameters: of the likelihood, one number per channel; their sum is P.
        context: K, length of what the images are conditioned on, 0 for nothing; it shifts the gates.
        width: h, hidden features, at least one per channel; twice as many between the layers.
        layers: residual LSTM layers, 1 or more (paper: 7 on MNIST, 12 on CIFAR-10).
        kernel: odd, of the first convolution.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        channel_parameters: tuple[int, ...],
        context: int = 0,
        width: int = 32,
        layers: int = 3,
        kernel: int = 7,
    ) -> None:
        layer = partial(_DiagonalLayer, channels=spec.channels, context=context)
        super().__init__(spec, channel_parameters, width, layers, kernel, layer)
