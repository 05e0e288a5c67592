"""Pixel by pixel through an image, by a reader."""

from collections.abc import Callable
from functools import partial

from lightning_gen.graphs import Replays
from lightning_gen.nets.autoregressive.causal import Reader

__all__ = ["fill_in"]


def fill_in(
    reader: Reader,
    size: tuple[int, int],
    fill: Callable[[int, int], None],
    replays: Replays,
    after_row: Callable[[], None] = lambda: None,
) -> None:
    """Fill in images in raster order.

    Args:
        reader: new, or at the first pixel.
        size: H, W.
        fill: called with row and column at each pixel, between `enter` and `leave`; must put the pixel into
            `reader.pixel`. Where `replays` captures, it must do the same at every pixel, on the same memory.
        replays: runs a pixel, and the beginning of a row.
        after_row: called after each row, never captured.
    """

    def visit(row: int, column: int) -> None:
        reader.enter(row, column)
        fill(row, column)
        reader.leave()

    for row in range(size[0]):
        kind = row % reader.period
        if row:
            replays.run(kind, partial(reader.descend, row))
        for column in range(size[1]):
            replays.run((kind, column % reader.period), partial(visit, row, column))
        after_row()
