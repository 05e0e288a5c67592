"""DiagonalBiLSTM (van den Oord et al. 2016a, Section 3.2 and 3.3): goes along the diagonals from both upper corners
and sees everything before a pixel."""

from collections.abc import Iterable
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from lightning_gen.nets.autoregressive.causal import CausalSpec
from lightning_gen.nets.autoregressive.masks import MaskedConv2d, may_see
from lightning_gen.nets.autoregressive.pixelrnn import LSTMLayer, LSTMReader, PixelRNN, lstm_cell
from lightning_gen.nets.autoregressive.plane import Cursor
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["DiagonalBiLSTM"]


class _DiagonalLayer(LSTMLayer):
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

    def reader(self, x: Tensor, context: Tensor | None, cursor: Cursor) -> LSTMReader:
        return _DiagonalLayerReader(self, x, context, cursor)

    @property
    def columns(self) -> int:
        return 2


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
        h, c = lstm_cell(skewed[:, :, begin:end, step] + recurrent, c[:, :, own], -1)
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


class _DiagonalLayerReader(LSTMReader):
    """The left half pixel by pixel; the right half, once a row is complete, from right to left."""

    def __init__(self, layer: _DiagonalLayer, x: Tensor, context: Tensor | None, cursor: Cursor) -> None:
        self.width, self.cursor, (batch, _, _, columns) = layer.width, cursor, x.shape
        (matrix, bias), shift = layer.from_input.as_matrix(), layer.context(context)
        self.left, self.right = ((m, b) for m, b in zip(matrix.chunk(2), bias.chunk(2), strict=True))  # type: ignore
        self.shifts = shift.chunk(2, 1) if isinstance(shift, Tensor) else (shift, shift)
        self.from_left, self.from_right = layer.from_state.mT
        self.from_image = layer.from_image.weight[:, :, 0, 0]
        self.line = x.new_zeros(batch, columns, layer.from_input.in_channels)
        self.x = self.line[:, :1].clone()
        # One column of zeros before the first, of the left half to its left, of the right half to its right.
        self.h_left, self.h_right, self.c_right, self.above = (
            x.new_zeros(batch, columns + 1, self.width) for _ in range(4)
        )
        # Of the left half at the pixel before and the pixel in work; what those above have, and the right half.
        self.h_before, self.c_before, self.h, self.c, self.h_above, self.h_beside = (
            x.new_zeros(batch, 1, self.width) for _ in range(6)
        )

    def descend(self, pixels: Tensor) -> None:
        self.above.copy_(self.h_left)
        self.h_before.zero_()
        self.c_before.zero_()
        shift = self.shifts[1]
        gates = linear(self.line, *self.right) + linear(pixels, self.from_image)
        gates += shift[:, None] if isinstance(shift, Tensor) else shift
        for column in reversed(range(self.line.shape[1])):
            seen = torch.cat([self.h_right[:, column + 1], self.h_right[:, column]], 1)
            recurrent = linear(seen, self.from_right)
            h, c = lstm_cell(gates[:, column] + recurrent, self.c_right[:, column + 1], 1)
            self.h_right[:, column], self.c_right[:, column] = h, c

    def enter(self) -> None:
        torch.index_select(self.above, 1, self.cursor.window(1), out=self.h_above)
        torch.index_select(self.h_right, 1, self.cursor.window(0), out=self.h_beside)

    def at(self, x: Tensor) -> Tensor:
        self.x[:, 0] = x
        seen = torch.cat([self.h_before[:, 0], self.h_above[:, 0]], 1)
        gates = linear(x, *self.left) + self.shifts[0] + linear(seen, self.from_left)
        self.h[:, 0], self.c[:, 0] = lstm_cell(gates, self.c_before[:, 0], 1)
        return self.h[:, 0] + self.h_beside[:, 0]

    def leave(self) -> None:
        self.line.index_copy_(1, self.cursor.window(0), self.x)
        self.h_left.index_copy_(1, self.cursor.window(1), self.h)
        self.h_before.copy_(self.h)
        self.c_before.copy_(self.c)

    def state(self) -> Iterable[Tensor]:
        return self.line, self.h_left, self.h_right, self.c_right


@final
class DiagonalBiLSTM(PixelRNN):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W), without a blind spot (Figure 4, right).

    Args:
        spec: what the network is built for; the context shifts the gates.
        width: h, hidden features, at least one per channel; twice as many between the layers.
        layers: residual LSTM layers, 1 or more (paper: 7 on MNIST, 12 on CIFAR-10).
        kernel: odd, of the first convolution.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: CausalSpec,
        width: int = 32,
        layers: int = 3,
        kernel: int = 7,
    ) -> None:
        layer = partial(_DiagonalLayer, channels=spec.image.channels, context=spec.context)
        super().__init__(spec, width, layers, kernel, layer)
