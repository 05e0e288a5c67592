"""RowLSTM (van den Oord et al. 2016a, Section 3.1): goes down the rows, and sees a triangle above each pixel."""

from collections.abc import Iterable
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from lightning_gen.nets.autoregressive.causal import CausalSpec, check_kernels
from lightning_gen.nets.autoregressive.masks import leftward
from lightning_gen.nets.autoregressive.pixelrnn import LSTMLayer, LSTMReader, PixelRNN, lstm_cell
from lightning_gen.nets.autoregressive.plane import Cursor, Planes
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["RowLSTM"]


class _RowLayer(LSTMLayer):
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
            h, c = lstm_cell(row + self.from_state(h), c, 1)
            rows.append(h)
        return torch.stack(rows, 2)

    def reader(self, x: Tensor, context: Tensor | None, cursor: Cursor) -> LSTMReader:
        return _RowLayerReader(self, x, context, cursor)

    @property
    def columns(self) -> int:
        return self.reach + 1


class _RowLayerReader(LSTMReader):
    """The state of the row above is convolved once; the rest is done pixel by pixel."""

    def __init__(self, layer: _RowLayer, x: Tensor, context: Tensor | None, cursor: Cursor) -> None:
        self.layer, self.bias = layer, layer.context(context)
        (batch, _, _, columns), width = x.shape, layer.from_state.in_channels
        self.from_input, shape = layer.from_input.as_matrix(), (batch, columns, layer.from_input.in_channels)
        self.line = Planes(cursor, shape, (1, layer.reach + 1), layer.reach, x)
        # Hidden states and cells of this row; gates and cells from the row above. The same at the pixel in work.
        self.row, self.above = (x.new_zeros(batch, columns, width * n) for n in (2, 5))
        self.row_here, self.above_here = (x.new_zeros(batch, 1, width * n) for n in (2, 5))
        self.gates_above, self.c_above = self.above_here[:, 0].split([4 * width, width], 1)
        self.here = cursor.window(0)

    def descend(self, pixels: Tensor) -> None:
        h, c = self.row.chunk(2, 2)
        torch.cat([self.layer.from_state(h.mT).mT, c], 2, out=self.above)

    def enter(self) -> None:
        self.line.enter()
        torch.index_select(self.above, 1, self.here, out=self.above_here)

    def at(self, x: Tensor) -> Tensor:
        self.line.here[0].copy_(x)
        gates = linear(self.line.seen[0], *self.from_input) + self.bias + self.gates_above
        h, c = lstm_cell(gates, self.c_above, 1)
        torch.cat([h, c], 1, out=self.row_here[:, 0])
        return h

    def leave(self) -> None:
        self.line.leave()
        self.row.index_copy_(1, self.here, self.row_here)

    def state(self) -> Iterable[Tensor]:
        return self.line.state(), self.row


@final
class RowLSTM(PixelRNN):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W). It has a blind spot: what lies outside a triangle above the
    pixel (Figure 4, middle).

    Args:
        spec: what the network is built for; the context shifts the gates.
        width: h, hidden features, at least one per channel; twice as many between the layers.
        layers: residual LSTM layers, 1 or more (paper: 12).
        kernel: odd, of the first convolution.
        across: odd, of the convolutions along a row (paper: 3).

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: CausalSpec,
        width: int = 32,
        layers: int = 4,
        kernel: int = 7,
        across: int = 3,
    ) -> None:
        check_kernels(across=across)
        layer = partial(_RowLayer, context=spec.context, kernel=across)
        super().__init__(spec, width, layers, kernel, layer)
