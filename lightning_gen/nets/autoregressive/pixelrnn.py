"""PixelRNN (van den Oord et al. 2016a, Section 3): a masked convolution, residual LSTM layers, two 1x1 convolutions.

Its layers are in `row_lstm` and `diagonal_bilstm`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec, Reader
from lightning_gen.nets.autoregressive.masks import CausalConv2d, pointwise

__all__ = ["LSTMLayer", "LSTMReader", "PixelRNN", "lstm_cell"]


def lstm_cell(gates: Tensor, c: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Apply Eq. 3: gates o, f, i, g along `dim` and the cell before -> hidden and cell."""
    o, f, i, g = gates.chunk(4, dim)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class LSTMReader(ABC):
    """A layer at one pixel after another."""

    @abstractmethod
    def descend(self, pixels: Tensor) -> None:
        """Go on to the next row: this one of the image is complete, (B, W, C)."""

    @abstractmethod
    def at(self, row: int, column: int, x: Tensor) -> Tensor:
        """Compute a pixel, input (B, 2 h) -> hidden (B, h) at a pixel, as often as its input changes."""

    @abstractmethod
    def state(self) -> Iterable[Tensor]:
        """Give all tensors (B, ...) that hold what has been read."""


class LSTMLayer(nn.Module, ABC):
    """From the input map (B, 2 h, H, W) to the hidden states (B, h, H, W)."""

    @abstractmethod
    def forward(self, x: Tensor, image: Tensor, context: Tensor | None) -> Tensor:
        """Compute all pixels at once; of the signed image itself a state may see rows above."""

    @abstractmethod
    def reader(self, x: Tensor, context: Tensor | None) -> LSTMReader:
        """Make a reader for a picture of the size of `x`."""


class PixelRNN(CausalNet):
    """Table 1 and Figure 5: what both networks have in common. Of its arguments the last is not theirs.

    Args:
        layer: called with the channels of the pixel that each input feature and each hidden feature belong to.
    """

    def __init__(
        self,
        spec: CausalSpec,
        width: int,
        layers: int,
        kernel: int,
        layer: Callable[[Tensor, Tensor], LSTMLayer],
    ) -> None:
        super().__init__()
        spec.check(width, kernel, layers=layers)
        inner, outer = spec.hidden_groups(width), spec.hidden_groups(2 * width)
        self.first = CausalConv2d(spec.image_groups(), outer, kernel, first=True)
        self.layers = nn.ModuleList(layer(outer, inner) for _ in range(layers))
        self.widen = nn.ModuleList(pointwise(inner, outer) for _ in range(layers))
        self.head = nn.ModuleList([pointwise(outer, outer), pointwise(outer, spec.output_groups())])

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

    def __init__(self, net: PixelRNN, x: Tensor, context: Tensor | None) -> None:
        self.x, self.row, self.first = x, 0, net.first.plane(x)
        self.layers: list[LSTMReader] = [layer.reader(x, context) for layer in net.layers]  # type: ignore
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
