"""Gated PixelCNN without blind spot (van den Oord et al. 2016b): a vertical and a horizontal stack."""

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import glu, linear, pad

from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec, Reader
from lightning_gen.nets.autoregressive.masks import MaskedConv2d, leftward, pointwise
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
    costs more than its arithmetic, so the layers write into one another's lines, through views made once.
    """

    def __init__(self, net: GatedPixelCNN, x: Tensor, context: Tensor | None) -> None:
        self.x, self.row, self.context = x, 0, context
        self.layers: list[_GatedLayer] = list(net.layers)  # type: ignore[arg-type]
        self.reach, self.width, width = self.layers[0].reach, self.layers[0].out.out_channels, x.shape[3]
        reach, sizes = self.reach, [layer.vertical.in_channels for layer in self.layers]
        # Of each layer's input: the last rows with their padding, column by column; the row in work, pixel by pixel.
        self.windows = [x.new_zeros(len(x), width + 2 * reach, (reach + 1) * n) for n in sizes]
        self.lines = [x.new_zeros(len(x), (width + reach) * n) for n in (*sizes, self.width)]
        self.here = [line.split(n, 1)[reach:] for line, n in zip(self.lines, (*sizes, self.width), strict=True)]
        self.seen = [
            [line[:, n * column : n * (column + reach + 1)] for column in range(width)]
            for line, n in zip(self.lines, sizes, strict=False)
        ]
        self.vertical = [layer.vertical.weight.permute(0, 3, 2, 1).flatten(1) for layer in self.layers]
        self.horizontal = [_transposed(layer.horizontal) for layer in self.layers]
        self.out = [_transposed(layer.out) for layer in self.layers]
        self.head = [net.head[i].as_matrix() for i in (1, 3)]  # type: ignore[operator, union-attr]
        zeros = x.new_zeros(len(x), width, self.layers[0].down.in_channels)
        self.above = [self._above(i, zeros) for i in range(len(self.layers))]
        self.above_at = [above.unbind(1) for above in self.above]

    def read(self, row: int, column: int) -> Tensor:
        if row > self.row:
            self._descend(self.x[:, :, row - 1 : row])
        self.row = row
        for known in range(max(column - 1, 0), column + 1):  # what was drawn since has been filled in
            self.here[0][known].copy_(self.x[:, :, row, known])
        h = self.here[0][column]
        for i, (matrix, bias) in enumerate(self.out):
            gates = torch.addmm(self.above_at[i][column], self.seen[i][column], self.horizontal[i][0])
            gates[:, : self.width].tanh_()
            following = self.here[i + 1][column]
            torch.addmm(h if i else bias, glu(gates, 1), matrix, out=following)
            h = following.add_(bias) if i else following
        for matrix, bias in self.head:
            h = linear(h.relu(), matrix, bias)
        return h[:, :, None, None]

    def _descend(self, v: Tensor) -> None:
        """A row (B, C, 1, W) of the image is complete: the vertical stack takes it in."""
        v = v[:, :, 0].mT
        for i, (layer, window) in enumerate(zip(self.layers, self.windows, strict=True)):
            n = v.shape[2]
            window[..., :-n] = window[..., n:].clone()
            window[:, self.reach : -self.reach, -n:] = v
            patches = window.unfold(1, 2 * self.reach + 1, 1).mT.flatten(2)  # columns, rows, in: as it lies, nearly
            vertical = linear(patches, self.vertical[i], layer.vertical.bias)
            vertical = vertical + layer.context_vertical.row(self.context)
            self.above[i].copy_(self._above(i, vertical))
            v = _gate(vertical, 2)

    def _above(self, i: int, vertical: Tensor) -> Tensor:
        """(B, W, 2 width) of the row above -> what the horizontal stack adds to its own."""
        layer = self.layers[i]
        row = linear(vertical, layer.down.weight.flatten(1), layer.down.bias)
        return row + layer.context_horizontal.row(self.context) + self.horizontal[i][1]

    def state(self) -> Iterable[Tensor]:
        return [*self.windows, *self.lines, *self.above]


def _transposed(conv: MaskedConv2d) -> tuple[Tensor, Tensor]:
    """The convolution at one position, as (rows * columns * in, out) and the bias."""
    matrix, bias = conv.as_matrix()
    assert bias is not None
    return matrix.T.contiguous(), bias
