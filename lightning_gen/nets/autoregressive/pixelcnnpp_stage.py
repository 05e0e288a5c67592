"""A resolution of a PixelCNN++ (Salimans et al. 2017, Section 2.3 to 2.5), whole and one pixel after another."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, linear, pixel_shuffle

from lightning_gen.nets.autoregressive.weight_norm import WeightNormConv2d
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["Stage", "StageReader", "concat_elu"]

#: kernels of the vertical stream, which has seen the rows above a pixel, and of the horizontal one, which has also
#: seen the pixels to its left
_VERTICAL, _HORIZONTAL = (2, 3), (2, 2)


def concat_elu(x: Tensor, dim: int = 1) -> Tensor:
    """Concatenate ELU of x and of -x along `dim`: twice the features."""
    return elu(torch.cat([x, -x], dim))


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
        self.first = WeightNormConv2d(2 * width, width, kernel)
        self.aside = WeightNormConv2d(2 * aside, width) if aside else None
        self.second = WeightNormConv2d(2 * width, 2 * width, kernel, gain=0.1)
        self.context = ContextBias(context, 2 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, aside: Tensor | None, context: Tensor | None) -> Tensor:
        h = self.first(concat_elu(x))
        if self.aside is not None and aside is not None:
            h = h + self.aside(concat_elu(aside))
        a, b = (self.second(self.dropout(concat_elu(h))) + self.context.image(context)).chunk(2, 1)
        return x + a * torch.sigmoid(b)


class Stage(nn.Module):
    """One resolution around all coarser ones. Streams: u, vertical; l, horizontal, which takes u as an input.

    Args:
        inner: the stage of half the resolution, None for the coarsest.
        blocks: on the way down.
        width, context, dropout: of every block.
    """

    def __init__(self, inner: "Stage | None", blocks: int, width: int, context: int, dropout: float) -> None:
        super().__init__()

        def stack(kernel: tuple[int, int], aside: int, count: int) -> nn.ModuleList:
            return nn.ModuleList(_Block(width, aside, context, kernel, dropout) for _ in range(count))

        back = blocks + (inner is not None)
        self.inner = inner
        self.up_u, self.up_l = stack(_VERTICAL, 0, blocks), stack(_HORIZONTAL, width, blocks)
        self.down_u, self.down_l = stack(_VERTICAL, width, back), stack(_HORIZONTAL, 2 * width, back)
        if inner is not None:
            kernels = (_VERTICAL, _HORIZONTAL)
            self.shrink_u, self.shrink_l = (WeightNormConv2d(width, width, kernel, 2) for kernel in kernels)
            self.grow_u, self.grow_l = (WeightNormConv2d(width, 4 * width, kernel) for kernel in kernels)

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


class _BlockReader:
    """A block at one place, or in one row where `column` is None; features last."""

    def __init__(self, block: _Block, x: Tensor, context: Tensor | None) -> None:
        self.first, self.second = block.first.plane(x), block.second.plane(x)
        self.aside = None if block.aside is None else block.aside.matrix()
        self.bias = block.context(context)

    def at(self, row: int, column: int | None, x: Tensor, aside: Tensor | None) -> Tensor:
        self.first.put(row, column, concat_elu(x, -1))
        h = self.first.at(row, column)
        if self.aside is not None and aside is not None:
            h = h + linear(concat_elu(aside, -1), *self.aside)
        self.second.put(row, column, concat_elu(h, -1))
        bias = self.bias[:, None] if column is None and isinstance(self.bias, Tensor) else self.bias
        a, b = (self.second.at(row, column) + bias).chunk(2, -1)
        return x + a * torch.sigmoid(b)


class StageReader:
    """A stage, row by row in the vertical stream and pixel by pixel in the horizontal one."""

    def __init__(self, stage: Stage, x: Tensor, context: Tensor | None) -> None:
        self.up_u, self.up_l, self.down_u, self.down_l = (
            [_BlockReader(block, x, context) for block in part]  # type: ignore[arg-type]
            for part in (stage.up_u, stage.up_l, stage.down_u, stage.down_l)
        )
        self.inner = None
        self.rows_up: list[Tensor] = []  # what the horizontal stream takes from the vertical one in this row, (B, W, F)
        self.rows_down: list[Tensor] = []
        if stage.inner is not None:
            small = x[..., ::2, ::2]
            self.inner = StageReader(stage.inner, small, context)
            self.shrink_u, self.shrink_l = stage.shrink_u.plane(x), stage.shrink_l.plane(x)
            self.grow_u, self.grow_l = stage.grow_u.plane(small), stage.grow_l.plane(small)
            height, width = 2 * small.shape[-2], 2 * small.shape[-1]
            features = stage.shrink_u.length.shape[0]
            self.grown_u, self.grown_l = (x.new_zeros(len(x), height, width, features) for _ in range(2))

    def row(self, row: int, u: Tensor) -> Tensor:
        """Compute the vertical stream in a row, (B, W, F) -> (B, W, F)."""
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
        """Compute the horizontal stream at a pixel, (B, F) -> (B, F)."""
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
