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

    def reader(self, x: Tensor, context: Tensor | None) -> LSTMReader:
        return _RowLayerReader(self, x, context)


class _RowLayerReader(LSTMReader):
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
        h, self.c[:, column] = lstm_cell(gates, self.c_above[:, column], 1)
        self.h[:, column] = h
        return h

    def state(self) -> Iterable[Tensor]:
        return self.line, self.h, self.c, self.above, self.c_above


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
