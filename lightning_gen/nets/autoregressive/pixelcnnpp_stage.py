"""A resolution of a PixelCNN++ (Salimans et al. 2017, Section 2.3 to 2.5), whole and one pixel after another."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, elu_, linear, pixel_shuffle

from lightning_gen.nets.autoregressive.plane import Cursor, Planes
from lightning_gen.nets.autoregressive.weight_norm import WeightNormConv2d
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["Stage", "StageReader", "concat_elu"]

#: kernels of the vertical stream, which has seen the rows above a pixel, and of the horizontal one, which has also
#: seen the pixels to its left
_VERTICAL, _HORIZONTAL = (2, 3), (2, 2)


def concat_elu(x: Tensor, dim: int = 1) -> Tensor:
    """Concatenate ELU of x and of -x along `dim`: twice the features."""
    return elu(torch.cat([x, -x], dim))


class Splitter:
    """`concat_elu` of features in the last dimension, with fewer kernels, for readers."""

    def __init__(self, like: Tensor) -> None:
        self.signs = torch.ones(2, 1, dtype=like.dtype, device=like.device)
        self.signs[1].neg_()

    def __call__(self, x: Tensor) -> Tensor:
        """(..., F) -> (..., 2 F)."""
        return elu_(x.unsqueeze(-2) * self.signs).flatten(-2)

    def into(self, x: Tensor, out: Tensor) -> None:
        """The same, into `out`."""
        out = out.unflatten(-1, (2, -1))
        torch.mul(x.unsqueeze(-2), self.signs, out=out)
        elu_(out)


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


class _RowBlock:
    """A block of the vertical stream, row by row; features last."""

    def __init__(self, block: _Block, x: Tensor, context: Tensor | None, split: Splitter) -> None:
        self.first, self.second = block.first.row_plane(x), block.second.row_plane(x)
        self.aside = None if block.aside is None else block.aside.matrix()
        self.bias, self.split = block.context.row(context), split

    def __call__(self, x: Tensor, aside: Tensor | None) -> Tensor:
        """(B, W, F) -> (B, W, F)."""
        self.first.push(self.split(x))
        h = self.first.at()
        if self.aside is not None and aside is not None:
            h = h + linear(self.split(aside), *self.aside)
        self.second.push(self.split(h))
        a, b = (self.second.at() + self.bias).chunk(2, -1)
        return x + a * torch.sigmoid(b)


class _PixelBlock:
    """A block of the horizontal stream, pixel by pixel. What it takes from the vertical stream is known a row ahead; it
    is `beside`, with the biases of both convolutions that it is added to.

    Args:
        block: of the network.
        seen: what both convolutions see, as vectors.
        here: where their inputs at the pixel in work go.
        context: (B, K).
        split: see there.
    """

    def __init__(
        self, block: _Block, seen: list[Tensor], here: list[Tensor], context: Tensor | None, split: Splitter
    ) -> None:
        assert block.aside is not None
        self.seen, self.here, self.split, self.bias = seen, here, split, block.context(context)
        (self.first, bias), (matrix, more), self.second = (c.matrix() for c in (block.first, block.aside, block.second))
        # The short-cut is (u, l, -u, -l), or (u, -u) where there is no l.
        parts = matrix.split(len(bias), 1)
        self.vertical = torch.cat(parts[::2], 1) if len(parts) > 2 else matrix, bias + more
        self.aside = torch.cat(parts[1::2], 1) if len(parts) > 2 else None

    def beside(self, u: Tensor) -> Tensor:
        """(B, W, F) of the vertical stream -> (B, W, F)."""
        return linear(self.split(u), *self.vertical)

    def __call__(self, x: Tensor, h: Tensor, aside: Tensor | None = None) -> Tensor:
        """x (B, F), h (B, F) of `beside`, which is lost, and the short-cut of the horizontal stream -> (B, F)."""
        self.split.into(x, self.here[0])
        h.addmm_(self.seen[0], self.first.mT)
        if aside is not None and self.aside is not None:
            h.addmm_(self.split(aside), self.aside.mT)
        self.split.into(h, self.here[1])
        gated = linear(self.seen[1], *self.second)
        a, b = (gated + self.bias if isinstance(self.bias, Tensor) else gated).chunk(2, -1)
        return torch.addcmul(x, a, b.sigmoid())


class _Between:
    """The way to the stage of half the resolution and back.

    Args:
        stage: of the network, with a stage within.
        x: of the size of the image at this stage, (B, F, H, W).
        context: (B, K).
        cursor: in the columns of this stage.
        split: see there.
    """

    def __init__(self, stage: Stage, x: Tensor, context: Tensor | None, cursor: Cursor, split: Splitter) -> None:
        assert stage.inner is not None
        small, (batch, _, _, self.width) = x[..., ::2, ::2], x.shape
        features, columns = stage.shrink_u.length.shape[0], small.shape[3]
        self.cursor, self.inner = cursor, StageReader(stage.inner, small, context, split)
        self.shrink_u, self.grow_u = stage.shrink_u.row_plane(x), stage.grow_u.row_plane(small)
        self.shrink_l = Planes(cursor, (batch, self.width, features), _HORIZONTAL, 1, x)
        self.grow_l = Planes(self.inner.cursor, (batch, columns, features), _HORIZONTAL, 1, x)
        self.shrink, self.grow = stage.shrink_l.matrix(), stage.grow_l.matrix()
        self.grown_u, self.grown_l = (x.new_zeros(batch, 2, 2 * columns, features) for _ in range(2))

    def row(self, row: int, u: Tensor) -> Tensor:
        """A row of the vertical stream, (B, W, F) -> (B, W, F)."""
        self.shrink_u.push(u)
        if row:
            self.shrink_l.descend()
        if row % 2 == 0:
            if row:
                self.grow_l.descend()
            self.grow_u.push(self.inner.row(row // 2, self.shrink_u.at()))
            self.grown_u.copy_(_spread(self.grow_u.at()))
        return self.grown_u[:, row % 2, : self.width]

    def at(self, row: int, column: int, l: Tensor) -> Tensor:
        """A pixel of the horizontal stream, (B, F) -> (B, F)."""
        if row % 2 == 0 and column % 2 == 0:
            self.shrink_l.enter()
            self.shrink_l.here[0].copy_(l)
            small = self.inner.at(row // 2, column // 2, linear(self.shrink_l.seen[0], *self.shrink))
            self.grow_l.enter()
            self.grow_l.here[0].copy_(small)
            grown = _spread(linear(self.grow_l.seen[0], *self.grow)[:, None])
            self.grown_l.index_copy_(2, self.cursor.window(0, 2), grown)
            self.grow_l.put(small)
            self.inner.cursor.advance()
        self.shrink_l.put(l)
        return self.grown_l[:, row % 2].index_select(1, self.cursor.window(0))[:, 0]

    def state(self) -> Iterable[Tensor]:
        yield from (self.shrink_u.values, self.grow_u.values, self.shrink_l.state(), self.grow_l.state())
        yield from (self.grown_u, self.grown_l)
        yield from self.inner.state()


class StageReader:
    """A stage, row by row in the vertical stream and pixel by pixel in the horizontal one."""

    def __init__(self, stage: Stage, x: Tensor, context: Tensor | None, split: Splitter) -> None:
        blocks: list[_Block] = [*stage.up_l, *stage.down_l]  # type: ignore[list-item]
        (batch, _, _, columns), width = x.shape, len(blocks[0].first.bias)
        self.cursor = Cursor(x.device, 2)
        self.planes = Planes(self.cursor, (batch, columns, 2 * width), _HORIZONTAL, 1, x, 2 * len(blocks))
        pairs = [(self.planes.seen[i : i + 2], self.planes.here[i : i + 2]) for i in range(0, 2 * len(blocks), 2)]
        readers = [_PixelBlock(block, *pair, context, split) for block, pair in zip(blocks, pairs, strict=True)]
        self.up_l, self.down_l = readers[: len(stage.up_l)], readers[len(stage.up_l) :]
        self.up_u, self.down_u = (
            [_RowBlock(block, x, context, split) for block in part]  # type: ignore[arg-type]
            for part in (stage.up_u, stage.down_u)
        )
        self.between = None if stage.inner is None else _Between(stage, x, context, self.cursor, split)
        # What the horizontal stream takes from the vertical one: of this row, and of the pixel in work.
        self.rows = x.new_zeros(len(blocks), batch, columns, width)
        self.vertical = x.new_zeros(len(blocks), batch, 1, width)
        self.vertical_of = list(self.vertical[:, :, 0].unbind(0))

    def row(self, row: int, u: Tensor) -> Tensor:
        """Begin a row: compute the vertical stream in it, (B, W, F) -> (B, W, F)."""
        if row:
            self.planes.descend()
        self.cursor.restart()
        past = [u]
        for block in self.up_u:
            u = block(u, None)
            past.append(u)
        rows = past[1:]
        if self.between is None:
            past.pop()
        else:
            u = self.between.row(row, u)
        for block in self.down_u:
            u = block(u, past.pop())
            rows.append(u)
        beside = [block.beside(u) for block, u in zip((*self.up_l, *self.down_l), rows, strict=True)]
        torch.stack(beside, out=self.rows)
        return u

    def at(self, row: int, column: int, l: Tensor) -> Tensor:
        """Compute the horizontal stream at a pixel, (B, F) -> (B, F). The caller moves the cursor on."""
        self.planes.enter()
        torch.index_select(self.rows, 2, self.cursor.window(0), out=self.vertical)
        past, vertical = [l], iter(self.vertical_of)
        for block in self.up_l:
            l = block(l, next(vertical))
            past.append(l)
        if self.between is None:
            past.pop()
        else:
            l = self.between.at(row, column, l)
        for block in self.down_l:
            l = block(l, next(vertical), past.pop())
        self.planes.leave()
        return l

    def state(self) -> Iterable[Tensor]:
        planes = (plane for block in (*self.up_u, *self.down_u) for plane in (block.first, block.second))
        yield from (*(plane.values for plane in planes), self.planes.state())
        if self.between is not None:
            yield from self.between.state()


def _spread(row: Tensor) -> Tensor:
    """(B, W, 4 F) -> (B, 2, 2 W, F), as `pixel_shuffle` does."""
    return row.unflatten(2, (-1, 2, 2)).permute(0, 3, 1, 4, 2).flatten(2, 3)
