"""Large pictures through a network in overlapping tiles."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_gen.errors import UserError, check_counts

__all__ = ["Tiles"]

#: pixels of the smallest picture a network is given: reflection at an edge needs some
_SMALLEST = 16


@dataclass(frozen=True)
class Tiles:
    """How large a tile is. Tiles begin at multiples of `side` - `overlap`.

    Of an inner border the outer quarter of the overlap is thrown away, and over the middle half one tile fades into
    the next. One row of tiles is in memory at a time. Where a pixel of the output depends on no source pixel further
    away than a quarter of the overlap, and `side` - `overlap` is a multiple of the network's strides, the result is
    that of the whole picture. Norms over the picture are another matter: each tile has its own.

    Args:
        side: of a tile, pixels; a picture that fits into one is never cut.
        overlap: of neighbours, pixels, a multiple of 4, at most half of `side`.
    """

    side: int = 1024
    overlap: int = 256

    def __post_init__(self) -> None:
        check_counts("tiles", limit=1 << 20, side=self.side, overlap=self.overlap)
        if self.overlap % 4 or 2 * self.overlap > self.side:
            raise UserError(f"tiles.overlap is {self.overlap}: want a multiple of 4, at most half of {self.side}")

    def __call__(self, source: Tensor, translate: Callable[[Tensor], Tensor], scale: tuple[int, int]) -> Tensor:
        """Translate one picture.

        Args:
            source: uint8 (1, C', h, w).
            translate: of one tile, uint8 (1, C', h', w') -> uint8 (1, C, h' * scale[0], w' * scale[1]) or more, of
                which the rest is cut off.
            scale: pixels of the output per pixel of the source, down and across.

        Returns:
            uint8 (1, C, h * scale[0], w * scale[1]), on the CPU.
        """
        rows, columns = (list(self._spans(length)) for length in source.shape[2:])
        if len(rows) == len(columns) == 1:
            return self._whole(source, translate, scale)
        made: Tensor | None = None
        sums: Tensor | None = None  # of the rows that the next band adds to
        for number, (top, bottom) in enumerate(rows):
            band = self._band(
                source[:, :, top:bottom], self._fade(top, bottom, source.shape[2], scale[0]), translate, scale
            )
            if sums is not None:
                band[:, :, : sums.shape[2]] += sums
            if made is None:
                sides = source.shape[2] * scale[0], source.shape[3] * scale[1]
                made = torch.empty(1, band.shape[1] - 1, *sides, dtype=torch.uint8)
            until = rows[number + 1][0] if number + 1 < len(rows) else bottom
            done, sums = band.split([(until - top) * scale[0], (bottom - until) * scale[0]], 2)
            made[:, :, top * scale[0] : until * scale[0]] = (done[:, :-1] / done[:, -1:]).round().to(torch.uint8)
        assert made is not None
        return made

    def _band(
        self, source: Tensor, down: Tensor, translate: Callable[[Tensor], Tensor], scale: tuple[int, int]
    ) -> Tensor:
        """Translate a row of tiles: sums of weighted pixels and, as the last channel, of the weights, float32."""
        total: Tensor | None = None
        for left, right in self._spans(source.shape[3]):
            weight = down[:, None] * self._fade(left, right, source.shape[3], scale[1])
            tile = self._whole(source[:, :, :, left:right], translate, scale)
            if total is None:
                total = torch.zeros(1, tile.shape[1] + 1, len(down), source.shape[3] * scale[1])
            place = (..., slice(left * scale[1], right * scale[1]))
            total[:, :-1][place] += tile * weight
            total[:, -1:][place] += weight
        assert total is not None
        return total

    def _whole(self, source: Tensor, translate: Callable[[Tensor], Tensor], scale: tuple[int, int]) -> Tensor:
        height, width = source.shape[2:]
        missing = [max(0, _SMALLEST - side) for side in (width, height)]
        padded = pad(source.float(), (0, missing[0], 0, missing[1]), mode="replicate").to(torch.uint8)
        out = translate(padded if any(missing) else source)[:, :, : height * scale[0], : width * scale[1]].cpu()
        if out.shape[2:] != (height * scale[0], width * scale[1]):
            raise UserError(f"a picture of {height}x{width} became {out.shape[2]}x{out.shape[3]}: want a larger one")
        return out

    def _spans(self, length: int) -> Iterator[tuple[int, int]]:
        """First pixel and one past the last of each tile along one side."""
        for first in range(0, max(1, length - self.overlap), self.side - self.overlap):
            yield first, min(first + self.side, length)

    def _fade(self, first: int, last: int, length: int, scale: int) -> Tensor:
        """The weight of each output pixel of a tile along one side, 0 to 1."""
        place = (torch.arange((last - first) * scale) + 0.5) / scale
        ramps = [place] if first else []  # distances from the borders where a neighbour takes over
        ramps += [last - first - place] if last < length else []
        quarter = self.overlap / 4
        weights = [((ramp - quarter) / (2 * quarter)).clamp(0, 1) for ramp in ramps]
        return torch.stack([torch.ones(len(place)), *weights]).amin(0)
