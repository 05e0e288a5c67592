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
from lightning_gen.nets.autoregressive.plane import Cursor

__all__ = ["LSTMLayer", "LSTMReader", "PixelRNN", "lstm_cell"]


def lstm_cell(gates: Tensor, c: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Apply Eq. 3: gates o, f, i, g along `dim` and the cell before -> hidden and cell."""
    o, f, i, g = gates.chunk(4, dim)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class LSTMReader(ABC):
    """A layer at one pixel after another, as in `Reader`."""

    @abstractmethod
    def descend(self, pixels: Tensor) -> None:
        """Go on to the next row: this one of the image is complete, (B, W, C)."""

    @abstractmethod
    def enter(self) -> None:
        """Begin a pixel."""

    @abstractmethod
    def at(self, x: Tensor) -> Tensor:
        """Compute a pixel, input (B, 2 h) -> hidden (B, h), as often as its input changes."""

    @abstractmethod
    def leave(self) -> None:
        """End a pixel: keep what was computed last."""

    @abstractmethod
    def state(self) -> Iterable[Tensor]:
        """Give all tensors (B, ...) that hold what has been read."""


class LSTMLayer(nn.Module, ABC):
    """From the input map (B, 2 h, H, W) to the hidden states (B, h, H, W)."""

    @abstractmethod
    def forward(self, x: Tensor, image: Tensor, context: Tensor | None) -> Tensor:
        """Compute all pixels at once; of the signed image itself a state may see rows above."""

    @abstractmethod
    def reader(self, x: Tensor, context: Tensor | None, cursor: Cursor) -> LSTMReader:
        """Make a reader for a picture of the size of `x`; `cursor` is in its columns."""

    @property
    @abstractmethod
    def columns(self) -> int:
        """How many columns a reader looks at."""


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
        layers: list[LSTMLayer] = list(net.layers)  # type: ignore[arg-type]
        widest = max(2 * net.first.reach + 1, *(layer.columns for layer in layers))
        self.cursor = Cursor(x.device, widest)
        self.first, self.entrance = net.first.planes(self.cursor, x), net.first.as_matrix()
        self.pixel = self.first.here[0]
        self.layers = [layer.reader(x, context, self.cursor) for layer in layers]
        self.widen = [mix.as_matrix() for mix in net.widen]  # type: ignore[operator, union-attr]
        self.head = [mix.as_matrix() for mix in net.head]  # type: ignore[operator, union-attr]

    def descend(self, row: int) -> None:
        for layer in self.layers:
            layer.descend(self.first.row())
        self.first.descend()
        self.cursor.restart()

    def enter(self, row: int, column: int) -> None:
        self.first.enter()
        for layer in self.layers:
            layer.enter()

    def read(self) -> Tensor:
        h = linear(self.first.seen[0], *self.entrance)
        for layer, widen in zip(self.layers, self.widen, strict=True):
            h = h + linear(layer.at(h), *widen)
        for mix in self.head:
            h = linear(h.relu(), *mix)
        return h[:, :, None, None]

    def leave(self) -> None:
        self.first.leave()
        for layer in self.layers:
            layer.leave()
        self.cursor.advance()

    def state(self) -> Iterable[Tensor]:
        yield self.first.state()
        for layer in self.layers:
            yield from layer.state()
