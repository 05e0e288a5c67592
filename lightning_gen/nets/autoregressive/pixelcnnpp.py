"""PixelCNN++ (Salimans et al. 2017): gated residual blocks at several resolutions with short-cuts between equal ones.

What differs from the paper: the way back to the finer resolution is a convolution whose output is spread over 2x2
pixels (sub-pixel), which contains the transposed convolution of the paper.
"""

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, elu, linear, pad, pixel_shuffle

from lightning_gen.distributed import mean_over_processes
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.autoregressive.causal import CausalNet, ContextBias, Plane, Reader

__all__ = ["PixelCNNpp"]

#: kernels of the vertical stream, which has seen the rows above a pixel, and of the horizontal one, which has also
#: seen the pixels to its left
_VERTICAL, _HORIZONTAL = (2, 3), (2, 2)


def _both(x: Tensor, dim: int = 1) -> Tensor:
    """Concatenated ELU: twice the features."""
    return elu(torch.cat([x, -x], dim))


class _Conv(nn.Module):
    """A convolution of the rows above and the columns around, by weight and length (Salimans and Kingma 2016). Its
    first batch in training sets length and bias, so that every output has mean 0 and deviation `gain` on it.

    Args:
        features_in: of the input.
        features: of the output.
        kernel: rows, columns; with 3 columns one lies to the right.
        stride: 2 halves the resolution, rounding up.
        gain: see above.
    """

    begun: Tensor

    def __init__(
        self, features_in: int, features: int, kernel: tuple[int, int] = (1, 1), stride: int = 1, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.gain = kernel, stride, gain
        self.direction = nn.Parameter(0.05 * torch.randn(features, features_in, *kernel))
        self.length = nn.Parameter(torch.full((features,), gain))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("begun", torch.tensor(False))
        self.settled = False  # what `begun` says, without asking the device at every step

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.kernel
        x = pad(x, (columns // 2, columns - 1 - columns // 2, rows - 1, 0))
        if self.training and not self.settled:
            self._settle(x)
        return conv2d(x, self._weight(), self.bias, self.stride)

    def _weight(self) -> Tensor:
        return self.direction * (self.length / self.direction.flatten(1).norm(dim=1))[:, None, None, None]

    @torch.no_grad()
    def _settle(self, x: Tensor) -> None:
        self.settled = True
        if self.begun:
            return
        out = conv2d(x, self._weight(), None, self.stride).transpose(0, 1).flatten(1)
        # every process has its own first batch, and all want the same weights
        moments = mean_over_processes(torch.stack([out.mean(1), out.square().mean(1)]))
        factor = self.gain / (moments[1] - moments[0].square()).clamp(min=1e-4).sqrt()
        self.length.mul_(factor)
        self.bias.copy_(-moments[0] * factor)
        self.begun.fill_(True)

    def matrix(self) -> tuple[Tensor, Tensor]:
        return self._weight().permute(0, 2, 3, 1).flatten(1), self.bias

    def plane(self, x: Tensor) -> Plane:
        rows, columns = self.kernel
        return Plane(x, self.matrix(), self.kernel, (rows - 1, columns // 2), self.stride)


class _Block(nn.Module):
    """x + a sigmoid(b), where (a, b) is a function of x and of a short-cut (Section 2.3 to 2.5).

    Args:
        width: features of x.
        aside: features of the short-cut, 0 for none.
        context: K.
        kernel: of both convolutions.
        dropout: between them.
    """

    def __init__(self, width: int, aside: int, context: int, kernel: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.first = _Conv(2 * width, width, kernel)
        self.aside = _Conv(2 * aside, width) if aside else None
        self.second = _Conv(2 * width, 2 * width, kernel, gain=0.1)
        self.context = ContextBias(context, 2 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, aside: Tensor | None, context: Tensor | None) -> Tensor:
        h = self.first(_both(x))
        if self.aside is not None and aside is not None:
            h = h + self.aside(_both(aside))
        a, b = (self.second(self.dropout(_both(h))) + self.context.image(context)).chunk(2, 1)
        return x + a * torch.sigmoid(b)


class _Stage(nn.Module):
    """One resolution around all coarser ones. Streams: u, vertical; l, horizontal, which looks at u.

    Args:
        inner: the stage of half the resolution, None for the coarsest.
        blocks: on the way down.
        width, context, dropout: of every block.
    """

    def __init__(self, inner: "_Stage | None", blocks: int, width: int, context: int, dropout: float) -> None:
        super().__init__()

        def stack(kernel: tuple[int, int], aside: int, count: int) -> nn.ModuleList:
            return nn.ModuleList(_Block(width, aside, context, kernel, dropout) for _ in range(count))

        back = blocks + (inner is not None)
        self.inner = inner
        self.up_u, self.up_l = stack(_VERTICAL, 0, blocks), stack(_HORIZONTAL, width, blocks)
        self.down_u, self.down_l = stack(_VERTICAL, width, back), stack(_HORIZONTAL, 2 * width, back)
        if inner is not None:
            self.shrink_u, self.shrink_l = (_Conv(width, width, kernel, 2) for kernel in (_VERTICAL, _HORIZONTAL))
            self.grow_u, self.grow_l = (_Conv(width, 4 * width, kernel) for kernel in (_VERTICAL, _HORIZONTAL))

    def forward(self, u: Tensor, l: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        (height, width), past = u.shape[2:], [(u, l)]
        for block_u, block_l in zip(self.up_u, self.up_l, strict=True):
            u = block_u(u, None, context)
            l = block_l(l, u, context)
            past.append((u, l))
        if self.inner is None:
            past.pop()
        else:
            u, l = self.inner(self.shrink_u(u), self.shrink_l(l), context)
            u, l = (pixel_shuffle(grow(x), 2) for grow, x in ((self.grow_u, u), (self.grow_l, l)))
            u, l = u[:, :, :height, :width], l[:, :, :height, :width]
        for block_u, block_l in zip(self.down_u, self.down_l, strict=True):
            past_u, past_l = past.pop()
            u = block_u(u, past_u, context)
            l = block_l(l, torch.cat([u, past_l], 1), context)
        return u, l


@final
class PixelCNNpp(CausalNet):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W). The network looks at whole pixels: the parameters of a
    pixel do not see its own channels, which a likelihood such as `LogisticMixture` conditions on one another (Section
    2.2).

    Args:
        spec: of the images.
        channel_parameters: of the likelihood, one number per channel; their sum is P.
        context: K, length of what the images are conditioned on, 0 for nothing.
        width: features of each stream, 1 or more (paper: 160).
        blocks: residual blocks per stage on the way down, as many and one more on the way back; 1 or more (paper: 5).
        stages: resolutions, each half the one before; 1 or more (paper: 3).
        dropout: in every block, 0..1 (paper: 0.5).

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        channel_parameters: tuple[int, ...],
        context: int = 0,
        width: int = 32,
        blocks: int = 2,
        stages: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts("net", width=width, blocks=blocks, stages=stages)
        if 2 ** (stages - 1) > min(spec.height, spec.width):
            raise UserError(f"net.stages is {stages}: want fewer, images are {spec.height}x{spec.width}")
        # A plane of ones beside the image, so that the network can tell a mid-grey pixel from one outside.
        channels = spec.channels + 1
        self.above, self.around = _Conv(channels, width, (2, 3)), _Conv(channels, width, (1, 3))
        self.left = _Conv(channels, width, (2, 1))
        stage: _Stage | None = None
        for _ in range(stages):
            stage = _Stage(stage, blocks, width, context, dropout)
        self.stage: _Stage = stage  # type: ignore[assignment]
        self.head = _Conv(2 * width, sum(channel_parameters), gain=0.1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = _with_ones(x)
        # One row late, and one column late: what lies strictly before the pixel.
        row_late, column_late = pad(x, (0, 0, 1, -1)), pad(x, (1, -1, 0, 0))
        _, l = self.stage(self.above(row_late), self.around(row_late) + self.left(column_late), context)
        return self.head(_both(l))

    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        return _StreamReader(self, x, context)


def _with_ones(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


class _BlockReader:
    """A block at one place, or in one row where `column` is None; features last."""

    def __init__(self, block: _Block, x: Tensor, context: Tensor | None) -> None:
        self.first, self.second = block.first.plane(x), block.second.plane(x)
        self.aside = None if block.aside is None else block.aside.matrix()
        self.bias = block.context(context)

    def at(self, row: int, column: int | None, x: Tensor, aside: Tensor | None) -> Tensor:
        self.first.put(row, column, _both(x, -1))
        h = self.first.at(row, column)
        if self.aside is not None and aside is not None:
            h = h + linear(_both(aside, -1), *self.aside)
        self.second.put(row, column, _both(h, -1))
        bias = self.bias[:, None] if column is None and isinstance(self.bias, Tensor) else self.bias
        a, b = (self.second.at(row, column) + bias).chunk(2, -1)
        return x + a * torch.sigmoid(b)


class _StageReader:
    """A stage, row by row in the vertical stream and pixel by pixel in the horizontal one."""

    def __init__(self, stage: _Stage, x: Tensor, context: Tensor | None) -> None:
        self.up_u, self.up_l, self.down_u, self.down_l = (
            [_BlockReader(block, x, context) for block in part]  # type: ignore[arg-type]
            for part in (stage.up_u, stage.up_l, stage.down_u, stage.down_l)
        )
        self.inner = None
        self.rows_up: list[Tensor] = []  # what the horizontal stream takes from the vertical one in this row, (B, W, F)
        self.rows_down: list[Tensor] = []
        if stage.inner is not None:
            small = x[..., ::2, ::2]
            self.inner = _StageReader(stage.inner, small, context)
            self.shrink_u, self.shrink_l = stage.shrink_u.plane(x), stage.shrink_l.plane(x)
            self.grow_u, self.grow_l = stage.grow_u.plane(small), stage.grow_l.plane(small)
            height, width = 2 * small.shape[-2], 2 * small.shape[-1]
            features = stage.shrink_u.length.shape[0]
            self.grown_u, self.grown_l = (x.new_zeros(len(x), height, width, features) for _ in range(2))

    def row(self, row: int, u: Tensor) -> Tensor:
        """The vertical stream in a row, (B, W, F) -> (B, W, F)."""
        past, width = [u], u.shape[1]
        for block in self.up_u:
            u = block.at(row, None, u, None)
            past.append(u)
        self.rows_up = past[1:]
        if self.inner is None:
            past.pop()
        else:
            self.shrink_u.put(row, None, u)
            if row % 2 == 0:
                self.grow_u.put(row // 2, None, self.inner.row(row // 2, self.shrink_u.at(row // 2, None)))
                self.grown_u[:, row : row + 2] = _spread(self.grow_u.at(row // 2, None))
            u = self.grown_u[:, row, :width]
        self.rows_down = []
        for block in self.down_u:
            u = block.at(row, None, u, past.pop())
            self.rows_down.append(u)
        return u

    def at(self, row: int, column: int, l: Tensor) -> Tensor:
        """The horizontal stream at a pixel, (B, F) -> (B, F)."""
        past = [l]
        for block, u in zip(self.up_l, self.rows_up, strict=True):
            l = block.at(row, column, l, u[:, column])
            past.append(l)
        if self.inner is None:
            past.pop()
        else:
            self.shrink_l.put(row, column, l)
            if row % 2 == 0 and column % 2 == 0:
                i, j = row // 2, column // 2
                self.grow_l.put(i, j, self.inner.at(i, j, self.shrink_l.at(i, j)))
                self.grown_l[:, row : row + 2, column : column + 2] = _spread(self.grow_l.at(i, j)[:, None])
            l = self.grown_l[:, row, column]
        for block, u in zip(self.down_l, self.rows_down, strict=True):
            l = block.at(row, column, l, torch.cat([u[:, column], past.pop()], 1))
        return l

    def state(self) -> Iterable[Tensor]:
        blocks = [*self.up_u, *self.up_l, *self.down_u, *self.down_l]
        yield from (plane.values for block in blocks for plane in (block.first, block.second))
        yield from (*self.rows_up, *self.rows_down)
        if self.inner is not None:
            planes = (self.shrink_u, self.shrink_l, self.grow_u, self.grow_l)
            yield from (*(plane.values for plane in planes), self.grown_u, self.grown_l)
            yield from self.inner.state()


def _spread(row: Tensor) -> Tensor:
    """(B, W, 4 F) -> (B, 2, 2 W, F), as `pixel_shuffle` does."""
    return row.unflatten(2, (-1, 2, 2)).permute(0, 3, 1, 4, 2).flatten(2, 3)


class _StreamReader(Reader):
    """The vertical stream once per row, the horizontal one once per pixel; coarse stages where a pixel begins there."""

    def __init__(self, net: PixelCNNpp, x: Tensor, context: Tensor | None) -> None:
        self.x, self.here, self.head = x, (-1, -1), net.head.matrix()
        self.above, self.around, self.left = (conv.plane(x) for conv in (net.above, net.around, net.left))
        self.stage = _StageReader(net.stage, x, context)
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
            self.raw = linear(_both(l), *self.head)[:, :, None, None]
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
