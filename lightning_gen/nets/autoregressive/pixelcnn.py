"""The first PixelCNN (van den Oord et al. 2016a): masked convolutions in residual blocks. It has a blind spot: some
pixels above and to the right of a pixel are never seen; `nets.pixelcnn` is its successor without one."""

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lightning_gen.images import ImageSpec
from lightning_gen.nets.autoregressive.causal import (
    CausalConv2d,
    CausalNet,
    ContextBias,
    Reader,
    check_sizes,
    groups_of,
    groups_of_features,
    pointwise,
)

__all__ = ["PixelCNN"]


@final
class PixelCNN(CausalNet):
    """Table 1: 7x7 convolution with mask A, residual blocks (Figure 5), two 1x1 convolutions.

    Args:
        spec: of the images.
        channel_parameters: of the likelihood, one number per channel; their sum is P.
        context: K, length of what the images are conditioned on, 0 for nothing; it shifts the first features.
        width: h, features inside a block, at least one per channel; twice as many outside.
        blocks: residual blocks, 1 or more.
        kernel: odd, of the first convolution; those of the blocks are 3x3.
        dropout: in each block, 0..1.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        channel_parameters: tuple[int, ...],
        context: int = 0,
        width: int = 32,
        blocks: int = 6,
        kernel: int = 7,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(spec.channels, width, kernel, blocks=blocks)
        image, inner = torch.arange(spec.channels), groups_of_features(width, spec.channels)
        outer, out = groups_of_features(2 * width, spec.channels), groups_of(channel_parameters)
        self.first = CausalConv2d(image, outer, kernel, first=True)
        self.context = ContextBias(context, 2 * width)
        self.narrow = nn.ModuleList(pointwise(outer, inner) for _ in range(blocks))
        self.middle = nn.ModuleList(CausalConv2d(inner, inner, 3, first=False) for _ in range(blocks))
        self.widen = nn.ModuleList(pointwise(inner, outer) for _ in range(blocks))
        self.head = nn.ModuleList([pointwise(outer, outer), pointwise(outer, out)])
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
        self.x, self.first, self.context = x, net.first.plane(x), net.context(context)
        self.middle = [layer.plane(x) for layer in net.middle]  # type: ignore[operator, union-attr]
        self.narrow, self.widen, self.head = (
            [layer.as_matrix() for layer in part]  # type: ignore[operator, union-attr]
            for part in (net.narrow, net.widen, net.head)
        )

    def read(self, row: int, column: int) -> Tensor:
        self.first.follow(self.x, row)
        h = self.first.at(row, column) + self.context
        for narrow, plane, widen in zip(self.narrow, self.middle, self.widen, strict=True):
            plane.put(row, column, linear(h.relu(), *narrow).relu())
            h = h + linear(plane.at(row, column).relu(), *widen)
        for layer in self.head:
            h = linear(h.relu(), *layer)
        return h[:, :, None, None]

    def state(self) -> Iterable[Tensor]:
        return [self.first.values, *(plane.values for plane in self.middle)]
