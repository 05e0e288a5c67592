"""The first PixelCNN (van den Oord et al. 2016a): masked convolutions in residual blocks. It has a blind spot: some
pixels above and to the right of a pixel are never seen; `gated_pixelcnn` is its successor without one."""

from collections.abc import Iterable
from typing import final

from torch import Tensor, nn
from torch.nn.functional import linear

from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec, Reader
from lightning_gen.nets.autoregressive.masks import CausalConv2d, pointwise
from lightning_gen.nets.autoregressive.plane import Cursor
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["PixelCNN"]


@final
class PixelCNN(CausalNet):
    """Table 1: 7x7 convolution with mask A, residual blocks (Figure 5), two 1x1 convolutions.

    Args:
        spec: what the network is built for; the context shifts the first features.
        width: h, features inside a block, at least one per channel; twice as many outside.
        blocks: residual blocks, 1 or more.
        kernel: odd, of the first convolution; those of the blocks are 3x3.
        dropout: in each block, 0..1.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: CausalSpec,
        width: int = 32,
        blocks: int = 6,
        kernel: int = 7,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        spec.check(width, kernel, blocks=blocks)
        inner, outer = spec.hidden_groups(width), spec.hidden_groups(2 * width)
        self.first = CausalConv2d(spec.image_groups(), outer, kernel, first=True)
        self.context = ContextBias(spec.context, 2 * width)
        self.narrow = nn.ModuleList(pointwise(outer, inner) for _ in range(blocks))
        self.middle = nn.ModuleList(CausalConv2d(inner, inner, 3, first=False) for _ in range(blocks))
        self.widen = nn.ModuleList(pointwise(inner, outer) for _ in range(blocks))
        self.head = nn.ModuleList([pointwise(outer, outer), pointwise(outer, spec.output_groups())])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.first(x) + self.context.image(context)
        for narrow, middle, widen in zip(self.narrow, self.middle, self.widen, strict=True):
            h = h + widen(self.dropout(middle(narrow(h.relu()).relu()).relu()))
        for layer in self.head:
            h = layer(h.relu())
        return h

    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        return _PlaneReader(self, x, context)


class _PlaneReader(Reader):
    """Every layer at one position, from what it was at the positions before."""

    def __init__(self, net: PixelCNN, x: Tensor, context: Tensor | None) -> None:
        self.context = net.context(context)
        middle: list[CausalConv2d] = list(net.middle)  # type: ignore[arg-type]
        self.cursor = Cursor(x.device, max(2 * conv.reach + 1 for conv in (net.first, *middle)))
        self.first, self.rest = net.first.planes(self.cursor, x), middle[0].planes(self.cursor, x, len(middle))
        self.pixel, self.entrance = self.first.here[0], net.first.as_matrix()
        self.middle, self.narrow, self.widen, self.head = (
            [layer.as_matrix() for layer in part]  # type: ignore[operator, union-attr]
            for part in (middle, net.narrow, net.widen, net.head)
        )

    def descend(self, row: int) -> None:
        self.first.descend()
        self.rest.descend()
        self.cursor.restart()

    def enter(self, row: int, column: int) -> None:
        self.first.enter()
        self.rest.enter()

    def read(self) -> Tensor:
        h = linear(self.first.seen[0], *self.entrance) + self.context
        for i, (narrow, matrix, widen) in enumerate(zip(self.narrow, self.middle, self.widen, strict=True)):
            self.rest.here[i].copy_(linear(h.relu(), *narrow).relu_())
            h = h + linear(linear(self.rest.seen[i], *matrix).relu_(), *widen)
        for layer in self.head:
            h = linear(h.relu(), *layer)
        return h[:, :, None, None]

    def leave(self) -> None:
        self.first.leave()
        self.rest.leave()
        self.cursor.advance()

    def state(self) -> Iterable[Tensor]:
        return self.first.state(), self.rest.state()
