"""PixelCNN++ (Salimans et al. 2017): gated residual blocks at several resolutions with short-cuts between equal ones.

What differs from the paper: the way back to the finer resolution is a convolution whose output is spread over 2x2
pixels (sub-pixel), which contains the transposed convolution of the paper.
"""

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from lightning_gen.errors import UserError, check_counts
from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec, Reader
from lightning_gen.nets.autoregressive.pixelcnnpp_stage import Stage, StageReader, concat_elu
from lightning_gen.nets.autoregressive.weight_norm import WeightNormConv2d

__all__ = ["PixelCNNpp"]


@final
class PixelCNNpp(CausalNet):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W). The network takes whole pixels: the parameters of a
    pixel do not see its own channels, which a likelihood such as `LogisticMixture` conditions on one another (Section
    2.2).

    Args:
        spec: what the network is built for.
        width: features of each stream, 1 or more (paper: 160).
        blocks: residual blocks per stage on the way down, as many and one more on the way back; 1 or more (paper: 5).
        stages: resolutions, each half the one before; 1 or more (paper: 3).
        dropout: in every block, 0..1 (paper: 0.5).

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: CausalSpec,
        width: int = 32,
        blocks: int = 2,
        stages: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts("net", width=width, blocks=blocks, stages=stages)
        image = spec.image
        if 2 ** (stages - 1) > min(image.height, image.width):
            raise UserError(f"net.stages is {stages}: want fewer, images are {image.height}x{image.width}")
        # A plane of ones beside the image, so that the network can tell a mid-grey pixel from one outside.
        channels = image.channels + 1
        self.above, self.around = WeightNormConv2d(channels, width, (2, 3)), WeightNormConv2d(channels, width, (1, 3))
        self.left = WeightNormConv2d(channels, width, (2, 1))
        stage: Stage | None = None
        for _ in range(stages):
            stage = Stage(stage, blocks, width, spec.context, dropout)
        self.stage: Stage = stage  # type: ignore[assignment]
        self.head = WeightNormConv2d(2 * width, spec.parameters, gain=0.1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = _with_ones(x)
        # One row late, and one column late: what lies strictly before the pixel.
        row_late, column_late = pad(x, (0, 0, 1, -1)), pad(x, (1, -1, 0, 0))
        _, l = self.stage(self.above(row_late), self.around(row_late) + self.left(column_late), context)
        return self.head(concat_elu(l))

    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        return _StreamReader(self, x, context)


def _with_ones(x: Tensor) -> Tensor:
    """Put a plane of ones beside x (B, C, ...), so that the network can tell a mid-grey pixel from one outside."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


class _StreamReader(Reader):
    """The vertical stream once per row, the horizontal one once per pixel; coarse stages where a pixel begins there."""

    def __init__(self, net: PixelCNNpp, x: Tensor, context: Tensor | None) -> None:
        self.x, self.here, self.head = x, (-1, -1), net.head.matrix()
        self.above, self.around, self.left = (conv.plane(x) for conv in (net.above, net.around, net.left))
        self.stage = StageReader(net.stage, x, context)
        self.raw = x.new_zeros(len(x), len(net.head.bias), 1, 1)

    def read(self, row: int, column: int) -> Tensor:
        if (row, column) != self.here:  # all channels of a pixel have the same view
            if row != self.here[0]:
                self._descend(row)
            self.here = row, column
            if column:
                self.left.put(row, column, self._pixels(row)[:, column - 1])
            l = self.around.at(row, column) + self.left.at(row, column)
            l = self.stage.at(row, column, l)
            self.raw = linear(concat_elu(l), *self.head)[:, :, None, None]
        return self.raw

    def _descend(self, row: int) -> None:
        """The row above is complete: the vertical stream takes it in."""
        if row:
            pixels = self._pixels(row - 1)
            self.above.put(row, None, pixels)
            self.around.put(row, None, pixels)
        self.stage.row(row, self.above.at(row, None))

    def _pixels(self, row: int) -> Tensor:
        """(B, W, C + 1)."""
        return _with_ones(self.x[:, :, row]).mT

    def state(self) -> Iterable[Tensor]:
        yield from (self.above.values, self.around.values, self.left.values, self.raw)
        yield from self.stage.state()
