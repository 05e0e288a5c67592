"""Warping of images by one matrix each, twice differentiable: for gradient penalties through augmentation."""

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv_transpose1d, grid_sample

__all__ = ["Warp", "fold", "sample_at"]

# The wavelet sym6 (Daubechies 1992), which the augmentation of Karras et al. 2020b resamples with.
_SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
#: pixels beyond the edge that the filter reaches
_MARGIN = 3
#: where a pixel lies in the enlarged image, past twice its number: the filter's centre of mass less 5; at 0.5, its
#: middle, a mirror image would come out shifted by 0.4 pixels
_CENTRE = sum(i * tap for i, tap in enumerate(_SYM6)) / sum(_SYM6) - 5
#: pixels of the reflection that are enlarged with the image: the filter is not symmetric, so that the reflection of an
#: enlarged image is not quite the enlargement of its reflection
_RIM = 4


@final
class _Sample(torch.autograd.Function):
    """`grid_sample` whose gradient is differentiable in turn: sampling is linear in the image, so that the gradient of
    its adjoint is sampling again. The grid has no gradient."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(image, grid)
        return grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        image, grid = ctx.saved_tensors
        return _Adjoint.apply(gradient, image, grid), None


@final
class _Adjoint(torch.autograd.Function):
    """What `_Sample` does, transposed."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, image: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        wanted = [True, False]
        return torch.ops.aten.grid_sampler_2d_backward(gradient, image, grid, 0, 0, False, wanted)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (grid,) = ctx.saved_tensors
        return _Sample.apply(gradient, grid), None, None


def sample_at(image: Tensor, grid: Tensor) -> Tensor:
    """Read images between pixels, bilinearly, 0 outside.

    Args:
        image: (B, C, H, W).
        grid: (B, h, w, 2), x and y in -1..1 from the outer edge of the first pixel to that of the last one; no gradient
            flows into it.

    Returns:
        (B, C, h, w), with derivatives of every order with respect to `image`.
    """
    return _Sample.apply(image, grid)


def fold(place: Tensor, length: int) -> Tensor:
    """Reflect places about the centres of the first and the last pixel, 0 and `length` - 1, as often as needed."""
    most = max(length - 1, 1)
    return most - (most - place.remainder(2 * most)).abs()


@final
class Warp(nn.Module):
    """Moves the pixels of each image by a matrix, without aliasing: the image is enlarged twofold by a low-pass filter,
    read bilinearly at twofold resolution, filtered and reduced (Karras et al. 2020b, Appendix B). What comes in at the
    edge is the reflection of the image, of any extent, where the paper pads by a finite one.
    """

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor(_SYM6, dtype=torch.float64)
        self.register_buffer("taps", taps / taps.sum(), persistent=False)
        self.maps: dict[tuple[str, int, torch.device, torch.dtype], Tensor] = {}

    def forward(self, x: Tensor, inverse: Tensor) -> Tensor:
        """Warp signed images.

        Args:
            x: (B, C, H, W), float32 or float64, sides of 2 or more.
            inverse: (B, 2, 3), from the place of a pixel of the result, (x, y, 1) in pixels from the middle of the
                image, to its place in `x`.
        """
        fine = sample_at(self._enlarged(x), self._grid(inverse.to(x.dtype), x))
        return self._reduced(fine)

    def _grid(self, inverse: Tensor, x: Tensor) -> Tensor:
        """Where the result at twofold resolution, with a margin, lies in the enlarged image: (B, h, w, 2)."""
        sides = x.shape[2:]
        rows, columns = (
            (torch.arange(2 * (side + 2 * _MARGIN), device=x.device, dtype=x.dtype) - _CENTRE) / 2 - _MARGIN
            for side in sides
        )
        rows, columns = rows - (sides[0] - 1) / 2, columns - (sides[1] - 1) / 2
        across, down = columns.expand(len(rows), -1), rows[:, None].expand(-1, len(columns))
        places = torch.stack([across, down, torch.ones_like(across)], -1)  # (h, w, 3)
        found = torch.einsum("hwk,bjk->bhwj", places, inverse)
        return torch.stack([_within(found[..., i], side) for i, side in enumerate(reversed(sides))], -1)

    def _enlarged(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> twice the image with its rim, (B, C, 2 (H + 2 rim), 2 (W + 2 rim))."""
        down, across = (self._map("enlarge", side, x) for side in x.shape[2:])
        return down @ (x @ across.T)

    def _reduced(self, x: Tensor) -> Tensor:
        """(B, C, 2H + 4 margins, ...) -> (B, C, H, W)."""
        down, across = (self._map("reduce", side, x) for side in x.shape[2:])
        return down @ (x @ across.T)

    def _map(self, name: str, side: int, like: Tensor) -> Tensor:
        """The matrix of filtering and resampling along one axis of length `side`, made once: two products of matrices
        are faster than filters with one group per channel, on every device."""
        key = (name, side, like.device, like.dtype)
        if key not in self.maps:
            unit = torch.eye(side, dtype=torch.float64, device=self.taps.device)[:, None]  # (side, 1, side)
            rows = self._enlarged_row(unit) if name == "enlarge" else conv1d(unit[..., 1:-1], self._tap, stride=2)
            self.maps[key] = rows[:, 0].T.to(like).contiguous()
        return self.maps[key]

    def _enlarged_row(self, unit: Tensor) -> Tensor:
        side, rim = unit.shape[2], _RIM + _MARGIN
        place = fold(torch.arange(-rim, side + rim, device=unit.device), side)
        found = conv_transpose1d(unit[..., place], 2.0 * self._tap, stride=2)
        first = 2 * _MARGIN + 5
        return found[..., first : first + 2 * (side + 2 * _RIM)]

    @property
    def _tap(self) -> Tensor:
        return self.taps[None, None]


def _within(place: Tensor, side: int) -> Tensor:
    """Places in pixels from the middle -> -1..1 over the enlarged image with its rim, beyond that reflected."""
    place = place + (side - 1) / 2
    inside = (place >= -_RIM) & (place <= side - 1 + _RIM)
    place = torch.where(inside, place, fold(place, side))
    return (2 * (place + _RIM) + _CENTRE + 0.5) / (side + 2 * _RIM) - 1
