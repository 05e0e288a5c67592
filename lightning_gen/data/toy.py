"""Two-dimensional worlds whose discrete probabilities are known exactly: what a likelihood should be, to the last bit.

A point (x, y) of the square [-1, 1]^2 is an image of two pixels, 1x1x2. The density is a mixture of axis-aligned
components, so that the probability of every pair of levels is a sum of products of one-dimensional integrals.
"""

import math
from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["WORLDS", "ToyWorld"]

World = Literal["eight_gaussians", "grid", "two_moons", "two_spirals", "rings", "pinwheel", "checkerboard"]


def _gaussian(centre: Tensor, scale: Tensor, edges: Tensor) -> Tensor:
    """(K,), (K,), (L+1,) -> (K, L): mass of each normal distribution between neighbouring edges."""
    return torch.special.ndtr((edges - centre[:, None]) / scale[:, None]).diff(dim=1)


def _uniform(centre: Tensor, scale: Tensor, edges: Tensor) -> Tensor:
    """The same for uniform distributions of half width `scale`."""
    return ((edges - centre[:, None]) / (2 * scale[:, None]) + 0.5).clamp(0, 1).diff(dim=1)


def _polar(radius: Tensor, angle: Tensor) -> Tensor:
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


def _turns(count: int, turns: float = 1.0) -> Tensor:
    """(count,) angles from 0 to `turns` turns, without the end."""
    return torch.arange(count, dtype=torch.float64) * (2 * math.pi * turns / count)


def _eight_gaussians() -> tuple[Tensor, float]:
    return _polar(torch.full((8,), 0.7, dtype=torch.float64), _turns(8)), 0.08


def _grid() -> tuple[Tensor, float]:
    places = torch.linspace(-0.8, 0.8, 5, dtype=torch.float64)
    return torch.cartesian_prod(places, places), 0.04


def _two_moons() -> tuple[Tensor, float]:
    angle = _turns(400, 0.5)
    upper = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1) * 0.55
    return torch.cat([upper, -upper]), 0.05


def _two_spirals() -> tuple[Tensor, float]:
    angle = 3 * math.pi * torch.linspace(0, 1, 801, dtype=torch.float64)[1:].sqrt()  # even density along the arms
    arm = _polar(0.85 * angle / angle[-1], angle)
    return torch.cat([arm, -arm]), 0.03


def _rings() -> tuple[Tensor, float]:
    parts = [_polar(torch.full((400,), r, dtype=torch.float64), _turns(400)) for r in (0.25, 0.5, 0.75)]
    return torch.cat(parts), 0.03


def _pinwheel() -> tuple[Tensor, float]:
    radius = torch.linspace(0.2, 0.85, 100, dtype=torch.float64)
    return torch.cat([_polar(radius, 2.2 * radius + 2 * math.pi * arm / 5) for arm in range(5)]), 0.05


def _checkerboard() -> tuple[Tensor, float]:
    centres = [[-0.75 + 0.5 * i, -0.75 + 0.5 * j] for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    return torch.tensor(centres, dtype=torch.float64), 0.25


#: worlds whose components are modes: far apart, so that a point belongs to one of them or to none
_MODAL = ("eight_gaussians", "grid")
#: name -> (centres of equal weight, (K, 2), and their scale; mass of a component between edges)
WORLDS: dict[str, tuple[Callable[[], tuple[Tensor, float]], Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "eight_gaussians": (_eight_gaussians, _gaussian),
    "grid": (_grid, _gaussian),
    "two_moons": (_two_moons, _gaussian),
    "two_spirals": (_two_spirals, _gaussian),
    "rings": (_rings, _gaussian),
    "pinwheel": (_pinwheel, _gaussian),
    "checkerboard": (_checkerboard, _uniform),
}


@final
class ToyWorld(MemoryImages):
    """Points of a plane as 1x1x2 images, with their exact `probabilities`; 2,000 val and 10,000 test points.

    Args:
        world: which density, a key of `WORLDS`.
        levels: per coordinate, 2..256.
        images: training points, 1 or more.
        drawing: seed of the points; each value is another set from the same density.
        batch_size: points per process and batch.
        seed: of the order of the training points.
        on_device: see `IndexedImages`.
    """

    def __init__(
        self,
        world: World = "eight_gaussians",
        levels: int = 64,
        images: int = 20000,
        drawing: int = 0,
        batch_size: int = 256,
        seed: int = 0,
        on_device: bool = True,
    ) -> None:
        check_counts("data", limit=10_000_000, images=images)
        if world not in WORLDS:
            raise UserError(f"data.world is {world}: want one of {', '.join(WORLDS)}")
        super().__init__(batch_size, seed, None, on_device)
        self.world, self.images, self.drawing = world, images, drawing
        self._spec = ImageSpec(1, 1, 2, levels)

    @property
    def spec(self) -> ImageSpec:
        return self._spec

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.world

    @property
    def modes(self) -> tuple[Tensor, float] | None:
        """Three deviations around each centre, a rounding to levels included; None where components overlap."""
        if self.world not in _MODAL:
            return None
        centre, scale = WORLDS[self.world][0]()
        # Level l stands for the middle of its bin, (2l + 1) / levels - 1; signed, it is 2l / (levels - 1) - 1.
        signed = centre * (self.spec.levels / (self.spec.levels - 1))
        return signed.float().view(-1, 1, 1, 2), 3 * scale + 1 / self.spec.levels

    @property
    def probabilities(self) -> Tensor:
        """float64 (levels, levels), probability of (first pixel x, second pixel y); sums to 1."""
        make, mass = WORLDS[self.world]
        centre, scale = make()
        edges = torch.linspace(-1, 1, self.spec.levels + 1, dtype=torch.float64)
        across, up = (mass(axis, torch.full_like(axis, scale), edges) for axis in centre.unbind(1))
        joint = across.T @ up
        return joint / joint.sum()  # the little that lies outside the square is cut off

    def entropy(self) -> float:
        """Bits/dim of the world itself: no model's expected bits/dim is lower."""
        return float(torch.special.entr(self.probabilities).sum()) / (2 * math.log(2.0))

    def load(self) -> dict[Split, dict[str, Column]]:
        counts: dict[Split, int] = {"train": self.images, "val": 2000, "test": 10000}
        return {s: {"image": self._draw(n, self.drawing * 3 + i)} for i, (s, n) in enumerate(counts.items())}

    def _draw(self, count: int, seed: int) -> Tensor:
        """uint8 (count, 1, 1, 2), independent points."""
        below = torch.randint(1 << 53, (count,), generator=torch.Generator().manual_seed(seed)).double() / (1 << 53)
        total = self.probabilities.flatten().cumsum(0)
        place = torch.searchsorted(total / total[-1], below, right=True)
        pixels = torch.stack([place // self.spec.levels, place % self.spec.levels], 1)
        return pixels.to(torch.uint8).view(count, 1, 1, 2)
