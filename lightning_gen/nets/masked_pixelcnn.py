"""The first PixelCNN (van den Oord et al. 2016a): masked convolutions in residual blocks. It has a blind spot: some
pixels above and to the right of a pixel are never seen; `nets.pixelcnn` is its successor without one."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.causal import CausalNet, MaskedConv2d, Reader, groups_of, groups_of_features, may_see

__all__ = ["PixelCNN"]


class _Causal(MaskedConv2d):
    """Masked convolution of the rows above and the pixels to the left; inside the pixel by channel (Figure 4, right).

    Args:
        groups_in: channel of the pixel that each input feature belongs to.
        groups: the same of each output feature.
        kernel: odd, of the convolution without its masked lower half.
        first: mask A, else mask B.
    """

    def __init__(self, groups_in: Tensor, groups: Tensor, kernel: int, first: bool) -> None:
        reach = kernel // 2
        mask = torch.ones(len(groups), len(groups_in), reach + 1, kernel)
        mask[:, :, -1, reach + 1 :] = 0
        mask[:, :, -1:, reach : reach + 1] = may_see(groups, groups_in, strictly=first)
        super().__init__(mask, len(groups_in), len(groups), (reach + 1, kernel))
        self.reach = reach

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(pad(input, (self.reach, self.reach, self.reach, 0)))


@final
class PixelCNN(CausalNet):
    """Table 1: 7x7 convolution with mask A, residual blocks (Figure 5), two 1x1 convolutions.

    Args:
        spec: of the images.
        channel_parameters: of the likelihood, one number per channel; their sum is P.
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
        width: int = 32,
        blocks: int = 6,
        kernel: int = 7,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if kernel < 3 or kernel % 2 == 0:
            raise UserError(f"net.kernel is {kernel}: want an odd number, 3 or more")
        if width < spec.channels:
            raise UserError(f"net.width is {width}: want at least one feature for each of {spec.channels} channels")
        if blocks < 1:
            raise UserError(f"net.blocks is {blocks}: want 1 or more")
        image, inner = torch.arange(spec.channels), groups_of_features(width, spec.channels)
        outer, out = groups_of_features(2 * width, spec.channels), groups_of(channel_parameters)

        def mix(groups_in: Tensor, groups: Tensor) -> nn.Module:
            return MaskedConv2d(may_see(groups, groups_in, strictly=False), len(groups_in), len(groups))

        self.first = _Causal(image, outer, kernel, first=True)
        self.narrow = nn.ModuleList(mix(outer, inner) for _ in range(blocks))
        self.middle = nn.ModuleList(_Causal(inner, inner, 3, first=False) for _ in range(blocks))
        self.widen = nn.ModuleList(mix(inner, outer) for _ in range(blocks))
        self.head = nn.ModuleList([mix(outer, outer), mix(outer, out)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for narrow, middle, widen in zip(self.narrow, self.middle, self.widen, strict=True):
            h = h + widen(self.dropout(middle(narrow(h.relu()).relu()).relu()))
        for layer in self.head:
            h = layer(h.relu())
        return h

    def reader(self, x: Tensor) -> Reader:
        return _PlaneReader(self, x)


class _Plane:
    """The input of one causal convolution, features last and padded, and the convolution as a matrix."""

    def __init__(self, layer: _Causal, x: Tensor) -> None:
        reach, (_, _, height, width) = layer.reach, x.shape
        self.reach = reach
        self.values = x.new_zeros(len(x), height + reach, width + 2 * reach, layer.in_channels)
        self.matrix = layer.as_matrix()

    def at(self, row: int, column: int) -> Tensor:
        """The convolution at one position, (B, out)."""
        window = self.values[:, row : row + self.reach + 1, column : column + 2 * self.reach + 1]
        return linear(window.flatten(1), *self.matrix)


class _PlaneReader(Reader):
    """Every layer at one position, from what it was at the positions before."""

    def __init__(self, net: PixelCNN, x: Tensor) -> None:
        self.x, self.first = x, _Plane(net.first, x)
        self.middle = [_Plane(layer, x) for layer in net.middle]  # type: ignore[arg-type]
        self.narrow, self.widen, self.head = (
            [layer.as_matrix() for layer in part]  # type: ignore[operator, union-attr]
            for part in (net.narrow, net.widen, net.head)
        )

    def read(self, row: int, column: int) -> Tensor:
        # The image has changed since it was read last, at most as far back as the end of the row above.
        top, reach = max(row - 1, 0), self.first.reach
        values = self.x[:, :, top : row + 1].permute(0, 2, 3, 1)
        self.first.values[:, top + reach : row + 1 + reach, reach : reach + self.x.shape[3]] = values
        h = self.first.at(row, column)
        for narrow, plane, widen in zip(self.narrow, self.middle, self.widen, strict=True):
            plane.values[:, row + 1, column + 1] = linear(h.relu(), *narrow).relu()
            h = h + linear(plane.at(row, column).relu(), *widen)
        for layer in self.head:
            h = linear(h.relu(), *layer)
        return h[:, :, None, None]
