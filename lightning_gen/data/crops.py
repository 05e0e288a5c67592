"""Crops of large pictures and their small counterparts: random ones to train on, a fixed grid of them to look at.

Scene       one picture in memory, with its small one where that is given
CropRows    its crops as rows of a split
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, final

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.data.augment import Draws
from lightning_gen.data.degradation import Degradation
from lightning_gen.data.rows import Rows
from lightning_gen.errors import UserError

__all__ = ["CropRows", "Scene"]


class Scene(NamedTuple):
    """One picture of a super-resolution set.

    Attributes:
        name: of its file.
        high: uint8 (C, H, W).
        low: uint8 (C, H / scale, W / scale), where it is given, not made.
    """

    name: str
    high: Tensor
    low: Tensor | None = None


@final
class CropRows(Rows):
    """Crops of `side` pixels, and what the degradation makes of them.

    Row i of the fixed order is a place of a grid without overlaps: a place of every picture, then another one of every
    picture. In an epoch of training as many crops are drawn, with replacement: a picture in proportion to its pixels,
    a place uniformly. An index from len(self) on stands for such a crop: it is a hash of the place, which is then the
    same for any count of processes, and after a resume.

    Beyond the crop the degradation sees the picture, not a border, up to its reach.

    Args:
        scenes: the pictures, one or more.
        side: of a crop of the large picture, a multiple of the scale.
        degradation: makes the small picture where none is given.
        levels: of both.
        seed: of the degradation of the fixed crops.

    Raises:
        UserError: a picture is smaller than a crop; or its small one is not its size by the scale.
    """

    def __init__(
        self, scenes: Sequence[Scene], side: int, degradation: Degradation, levels: int = 256, seed: int = 0
    ) -> None:
        self.scenes, self.side, self.degradation = list(scenes), side, degradation
        self.levels, self.seed, self.scale = levels, seed, degradation.scale
        for scene in self.scenes:
            self._check(scene)
        self.sizes = torch.tensor([scene.high.shape[1:] for scene in self.scenes])  # (N, 2)
        self.grid = _interleaved([self._places(*size) for size in self.sizes.tolist()])

    def _check(self, scene: Scene) -> None:
        height, width = scene.high.shape[1:]
        if min(height, width) < self.side:
            got = f"data.crop is {self.side}, but picture {scene.name} is {width}x{height}"
            raise UserError(f"{got}: want a crop inside every picture")
        if scene.low is not None and tuple(scene.low.shape[1:]) != (height // self.scale, width // self.scale):
            small = f"{scene.low.shape[2]}x{scene.low.shape[1]}, its large one {width}x{height}"
            raise UserError(f"picture {scene.name} is {small}: want a {self.scale}th of it")

    def _places(self, height: int, width: int) -> list[tuple[int, int]]:
        """Upper left corners of the grid in the middle of one picture, in an order that is shuffled once."""
        step = self.side
        corner = ((height % step) // 2, (width % step) // 2)
        top, left = (first - first % self.scale for first in corner)
        places = [(y, x) for y in range(top, height - step + 1, step) for x in range(left, width - step + 1, step)]
        order = torch.randperm(len(places), generator=Generator().manual_seed(0)).tolist()
        return [places[i] for i in order]

    def __len__(self) -> int:
        return len(self.grid)

    def epoch(self, generator: Generator, rank: int, world: int, batch_size: int) -> Iterator[Tensor]:
        drawn = torch.randint(1 << 61, (len(self),), generator=generator)
        order, total = len(self) + drawn, batch_size * world
        return (order[first : first + total][rank::world] for first in range(0, len(self) - total + 1, total))

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Batch]:
        for index in indices:
            yield self._batch(index)

    def _batch(self, index: Tensor) -> Batch:
        draws = Draws(self.seed, 0, index)
        scene, top, left = self._where(index, draws)
        if all(self.scenes[i].low is not None for i in set(scene.tolist())):
            return self._given(scene, top, left)
        reach = -(-self.degradation.reach // self.scale) * self.scale
        around = torch.stack([self._window(*place, reach) for place in _triples(scene, top, left)])
        source, inside = self.degradation(around, self.levels, draws), reach // self.scale
        small = self.side // self.scale
        cut = slice(inside, inside + small)
        crop = slice(reach, reach + self.side)
        return {"image": around[:, :, crop, crop].contiguous(), "source": source[:, :, cut, cut].contiguous()}

    def _where(self, index: Tensor, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """Picture and upper left corner of each crop, int64 (B,) each."""
        fixed = self.grid[index.clamp(max=len(self) - 1)]  # (B, 3)
        pixels = (self.sizes[:, 0] * self.sizes[:, 1]).double().cumsum(0)
        share = draws.integers(1 << 30).double() / (1 << 30)
        scene = torch.searchsorted(pixels, share * pixels[-1], right=True).clamp(max=len(self.scenes) - 1)
        room = (self.sizes[scene] - self.side) // self.scale + 1  # corners lie on pixels of the small picture
        corner = [(room[:, i] * draws.integers(1 << 30)) >> 30 for i in range(2)]
        free = torch.stack([scene, *(self.scale * first for first in corner)], 1)
        return tuple(torch.where((index < len(self))[:, None], fixed, free).unbind(1))  # type: ignore[return-value]

    def _window(self, scene: int, top: int, left: int, reach: int) -> Tensor:
        """A crop and what is around it, mirrored at the border of the picture."""
        high = self.scenes[scene].high
        rows, columns = (
            _mirrored(torch.arange(first - reach, first + self.side + reach), length)
            for first, length in zip((top, left), high.shape[1:], strict=True)
        )
        inner = min(top, left) >= reach and top + reach + self.side <= high.shape[1]
        if inner and left + reach + self.side <= high.shape[2]:  # the common case, and the fast one
            return high[:, top - reach : top + self.side + reach, left - reach : left + self.side + reach]
        return high[:, rows[:, None], columns]

    def _given(self, scene: Tensor, top: Tensor, left: Tensor) -> Batch:
        image, source = [], []
        for i, y, x in _triples(scene, top, left):
            low, side, small = self.scenes[i].low, self.side, self.side // self.scale
            assert low is not None
            image.append(self.scenes[i].high[:, y : y + side, x : x + side])
            y, x = y // self.scale, x // self.scale
            source.append(low[:, y : y + small, x : x + small])
        return {"image": torch.stack(image), "source": torch.stack(source)}

    def to(self, device: torch.device) -> "CropRows":
        return self

    def whole(self, index: int) -> Batch:
        """One picture and its small one, whole: each a batch of one row, sides cut to multiples of the scale."""
        _, high, low = self.scenes[index]
        height, width = ((side // self.scale) * self.scale for side in high.shape[1:])
        image = high[None, :, :height, :width]
        draws = Draws(self.seed, 0, torch.tensor([index]))
        return {"image": image, "source": self.degradation(image, self.levels, draws) if low is None else low[None]}


def _interleaved(places: list[list[tuple[int, int]]]) -> Tensor:
    """Lists of corners -> int64 (N, 3): picture, row, column; the first of each list, the second of each ..."""
    found = [(k, i, y, x) for i, part in enumerate(places) for k, (y, x) in enumerate(part)]
    return torch.tensor([(i, y, x) for _, i, y, x in sorted(found, key=lambda row: row[:2])])


def _triples(scene: Tensor, top: Tensor, left: Tensor) -> Iterator[tuple[int, int, int]]:
    return zip(scene.tolist(), top.tolist(), left.tolist(), strict=True)


def _mirrored(place: Tensor, length: int) -> Tensor:
    folded = place % (2 * length)
    return torch.where(folded < length, folded, 2 * length - 1 - folded)
