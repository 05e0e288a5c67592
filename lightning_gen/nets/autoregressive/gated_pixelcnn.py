"""Gated PixelCNN without blind spot (van den Oord et al. 2016b): a vertical and a horizontal stack."""

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import glu, linear, pad

from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec, Reader
from lightning_gen.nets.autoregressive.masks import MaskedConv2d, leftward, pointwise
from lightning_gen.nets.autoregressive.plane import Cursor, Planes
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["GatedPixelCNN"]


def _gate(x: Tensor, dim: int = 1) -> Tensor:
    a, b = x.chunk(2, dim)
    return torch.tanh(a) * torch.sigmoid(b)  # Eq. 2


class _GatedLayer(nn.Module):
    """Figure 2. The vertical stack sees all rows above; the horizontal one, the pixels to the left. The context shifts
    the gates of both (Eq. 4).

    Args:
        groups_in: channel of the pixel that each input feature belongs to, (channels in,).
        groups: the same of each output feature, (width,).
        context: K, 0 for none.
        kernel: odd.
        first: mask A: the pixel's own channel is hidden; later layers may see their own position (mask B).
        dropout: of gated features, 0..1.
    """

    def __init__(
        self, groups_in: Tensor, groups: Tensor, context: int, kernel: int, first: bool, dropout: float
    ) -> None:
        super().__init__()
        self.reach, self.first = kernel // 2, first
        channels_in, width, twice = len(groups_in), len(groups), torch.cat([groups, groups])
        self.vertical = nn.Conv2d(channels_in, 2 * width, (self.reach + 1, kernel))
        self.down = nn.Conv2d(2 * width, 2 * width, 1)
        self.horizontal = leftward(groups_in, twice, self.reach, first)
        self.out = pointwise(groups, groups)
        self.context_vertical, self.context_horizontal = (ContextBias(context, 2 * width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, v: Tensor, h: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        reach = self.reach
        # Row i of `vertical` has seen rows i-reach..i of v. The horizontal stack takes it one row late: strictly above.
        vertical = self.vertical(pad(v, (reach, reach, reach, 0))) + self.context_vertical.image(context)
        above = self.down(pad(vertical, (0, 0, 1, -1))) + self.context_horizontal.image(context)
        return self.dropout(_gate(vertical)), self.across(pad(h, (reach, 0)), above)

    def across(self, h: Tensor, above: Tensor) -> Tensor:
        """Compute the horizontal stack, h (B, in, R, reach + N), above (B, 2 width, R, N) -> (B, width, R, N)."""
        out = self.out(self.dropout(_gate(self.horizontal(h) + above)))
        return out if self.first else h[..., self.reach :] + out


@final
class GatedPixelCNN(CausalNet):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W).

    Args:
        spec: what the network is built for; the context shifts the gates.
        width: features of each stack, at least one per channel.
        layers: gated layers, the first with mask A; 1 or more.
        kernel: odd, of every layer.
        dropout: of gated features, 0..1.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: CausalSpec,
        width: int = 48,
        layers: int = 8,
        kernel: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        spec.check(width, kernel, layers=layers)
        image, hidden, twice = spec.image_groups(), spec.hidden_groups(width), spec.hidden_groups(2 * width)
        self.layers = nn.ModuleList(
            _GatedLayer(hidden if i else image, hidden, spec.context, kernel, first=i == 0, dropout=dropout)
            for i in range(layers)
        )
        self.head = nn.Sequential(
            nn.ReLU(), pointwise(hidden, twice), nn.ReLU(), pointwise(twice, spec.output_groups())
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        v = h = x
        for layer in self.layers:
            v, h = layer(v, h, context)
        return self.head(h)

    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        return _RowReader(self, x, context)


class _RowReader(Reader):
    """The vertical stack once per row, the horizontal one once per pixel; what came before is kept.

    A convolution at one position is a matrix product, which costs far less to start. At 16 images starting an operation
    costs more than its arithmetic, so the layers write into one another's windows, through views made once.
    """

    def __init__(self, net: GatedPixelCNN, x: Tensor, context: Tensor | None) -> None:
        self.context = context
        self.layers: list[_GatedLayer] = list(net.layers)  # type: ignore[arg-type]
        (batch, channels, _, columns), width, count = x.shape, self.layers[0].out.out_channels, len(self.layers)
        self.reach, self.width = self.layers[0].reach, width
        # Of each layer's input: the last rows with their padding, column by column.
        self.windows = [
            x.new_zeros(batch, columns + 2 * self.reach, (self.reach + 1) * layer.vertical.in_channels)
            for layer in self.layers
        ]
        self.cursor, kernel = Cursor(x.device, self.reach + 1), (1, self.reach + 1)
        self.first = Planes(self.cursor, (batch, columns, channels), kernel, self.reach, x)
        self.rest = Planes(self.cursor, (batch, columns, width), kernel, self.reach, x, count - 1)
        self.pixel, self.seen = self.first.here[0], [*self.first.seen, *self.rest.seen]
        self.following = [*self.rest.here, x.new_zeros(batch, width)]
        self.vertical = [layer.vertical.weight.permute(0, 3, 2, 1).flatten(1) for layer in self.layers]
        self.horizontal = [_transposed(layer.horizontal) for layer in self.layers]
        self._leave_biases_out([_transposed(layer.out) for layer in self.layers])
        self.head = [net.head[i].as_matrix() for i in (1, 3)]  # type: ignore[operator, union-attr]
        zeros = x.new_zeros(batch, columns, self.layers[0].down.in_channels)
        self.above = torch.stack([self._above(i, zeros) for i in range(count)])  # (layers, B, W, 2 width)
        self.above_here = x.new_zeros(count, batch, 1, 2 * width)
        self.here = self.cursor.window(0)
        self.above_of = list(self.above_here[:, :, 0].unbind(0))

    def _leave_biases_out(self, out: list[tuple[Tensor, Tensor]]) -> None:
        """Let the residual stream go without the biases of the layers below, one operation less in each: what sees it
        adds what their sum makes of it, and outside of the picture the stream is minus that sum."""
        self.out, total = [matrix for matrix, _ in out], torch.zeros_like(out[0][1])
        for i, (_, bias) in enumerate(out[:-1], 1):
            total = total + bias
            matrix, own = self.horizontal[i]
            self.horizontal[i] = matrix, own + total.repeat(self.reach + 1) @ matrix
            self.rest.lines[i - 1, :, :, : self.reach] = -total
        self.total = total + out[-1][1]

    def descend(self, row: int) -> None:
        v = self.first.row()
        for i, (layer, window) in enumerate(zip(self.layers, self.windows, strict=True)):
            n = v.shape[2]
            window[..., :-n] = window[..., n:].clone()
            window[:, self.reach : -self.reach, -n:] = v
            patches = window.unfold(1, 2 * self.reach + 1, 1).mT.flatten(2)  # columns, rows, in: as it lies, nearly
            vertical = linear(patches, self.vertical[i], layer.vertical.bias)
            vertical = vertical + layer.context_vertical.row(self.context)
            self.above[i].copy_(self._above(i, vertical))
            v = _gate(vertical, 2)
        self.cursor.restart()

    def enter(self, row: int, column: int) -> None:
        self.first.enter()
        self.rest.enter()
        torch.index_select(self.above, 2, self.here, out=self.above_here)

    def read(self) -> Tensor:
        h = self.pixel
        for i, matrix in enumerate(self.out):
            gates = torch.addmm(self.above_of[i], self.seen[i], self.horizontal[i][0])
            gates[:, : self.width].tanh_()
            gated, following = glu(gates, 1), self.following[i]
            h = torch.addmm(h, gated, matrix, out=following) if i else torch.mm(gated, matrix, out=following)
        h = h + self.total
        for matrix, bias in self.head:
            h = linear(h.relu(), matrix, bias)
        return h[:, :, None, None]

    def leave(self) -> None:
        self.first.leave()
        self.rest.leave()
        self.cursor.advance()

    def _above(self, i: int, vertical: Tensor) -> Tensor:
        """(B, W, 2 width) of the row above -> what the horizontal stack adds to its own."""
        layer = self.layers[i]
        row = linear(vertical, layer.down.weight.flatten(1), layer.down.bias)
        return row + layer.context_horizontal.row(self.context) + self.horizontal[i][1]

    def state(self) -> Iterable[Tensor]:
        return [*self.windows, self.first.state(), self.rest.state()]


def _transposed(conv: MaskedConv2d) -> tuple[Tensor, Tensor]:
    """The convolution at one position, as (rows * columns * in, out) and the bias."""
    matrix, bias = conv.as_matrix()
    assert bias is not None
    return matrix.T.contiguous(), bias
