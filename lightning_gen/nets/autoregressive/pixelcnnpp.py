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
from lightning_gen.nets.autoregressive.pixelcnnpp_stage import Splitter, Stage, StageReader, concat_elu
from lightning_gen.nets.autoregressive.plane import Planes
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
        self.stages = stages
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
        self.period, self.split = 2 ** (net.stages - 1), Splitter(x)
        self.stage = StageReader(net.stage, x, context, self.split)
        (batch, channels, _, columns), cursor = x.shape, self.stage.cursor
        # One column late: at a pixel these see the pixel to its left, and those above that.
        self.late = Planes(cursor, (batch, columns, channels + 1), (2, 1), 1, x)
        self.above, self.around = (conv.row_plane(x) for conv in (net.above, net.around))
        self.left, self.head = net.left.matrix(), net.head.matrix()
        # The values of a pixel, and 1 beside them; the convolutions see 0 outside of the picture.
        self.values = x.new_ones(batch, channels + 1)
        self.pixel = self.values[:, :channels]
        # What `around` gives in this row, and the parameters of the pixel in work.
        self.over, self.raw = (x.new_zeros(batch, n, len(m[0])) for n, m in ((columns, self.left), (1, self.head)))
        self._row(0, x.new_zeros(batch, columns, channels + 1))

    def descend(self, row: int) -> None:
        pixels = self.late.row()
        self._row(row, pixels)
        self.late.descend()

    def _row(self, row: int, pixels: Tensor) -> None:
        """The vertical stream takes in a row (B, W, C + 1), the one above."""
        self.above.push(pixels)
        self.around.push(pixels)
        self.over.copy_(self.around.at())
        self.stage.row(row, self.above.at())

    def enter(self, row: int, column: int) -> None:
        self.late.enter()
        over = self.over.index_select(1, self.stage.cursor.window(0))[:, 0]
        l = self.stage.at(row, column, over + linear(self.late.seen[0], *self.left))
        self.raw.copy_(linear(self.split(l), *self.head)[:, None])

    def read(self) -> Tensor:
        return self.raw[:, 0, :, None, None]  # all channels of a pixel have the same view

    def leave(self) -> None:
        self.late.put(self.values)
        self.stage.cursor.advance()

    def state(self) -> Iterable[Tensor]:
        yield from (self.above.values, self.around.values, self.late.state())
        yield from self.stage.state()
