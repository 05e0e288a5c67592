"""Changes of shape: squeeze, factor-out, flatten (Dinh et al. 2017, Section 3.6)."""

from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, halvings

__all__ = ["FactorOut", "Flatten", "Interleave", "Squeeze", "count_scales"]


def _no_change(x: Tensor) -> Tensor:
    return torch.zeros(len(x), device=x.device, dtype=x.dtype)


@final
class Squeeze(Bijection):
    """(B, C, H, W) -> (B, 4C, H/2, W/2): each 2x2 block of pixels becomes channels."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return nn.functional.pixel_unshuffle(x, 2), _no_change(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return nn.functional.pixel_shuffle(z, 2)


@final
class FactorOut(Bijection):
    """The second half of the channels is done; the first goes on through `rest` (Eq. 13-15): z is a vector (B, D).

    Args:
        shape: (C, H, W) of the input, C even.
        rest: bijection of (B, C/2, H, W) to vectors.
    """

    def __init__(self, shape: tuple[int, int, int], rest: Bijection) -> None:
        super().__init__()
        self.shape, self.rest = (shape[0] // 2, *shape[1:]), rest

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        on, done = x.chunk(2, 1)
        z, log_det = self.rest(on, context)
        return torch.cat([done.flatten(1), z], 1), log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        done, on = z.chunk(2, 1)
        return torch.cat([self.rest.inverse(on, context), done.unflatten(1, self.shape)], 1)


@final
class Flatten(Bijection):
    """(B, *shape) -> (B, D).

    Args:
        shape: (C, H, W) of images.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.flatten(1), _no_change(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z.unflatten(1, self.shape)


@final
class Interleave(Bijection):
    """(B, D): the entries with even index first, then the odd ones, so that a coupling of halves parts neighbours
    (Dinh et al. 2015, Section 5.1)."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.cat([x[:, 0::2], x[:, 1::2]], 1), _no_change(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        even = (z.shape[1] + 1) // 2
        x = torch.empty_like(z)
        x[:, 0::2], x[:, 1::2] = z[:, :even], z[:, even:]
        return x


def count_scales(spec: ImageSpec, most: int) -> int:
    """Count how often the sides of `spec` can be halved: once, and on while they stay even with 4 pixels or more, at
    most `most` times.

    Raises:
        UserError: a side is odd, or `most` is below 1.
    """
    check_counts("bijection", scales=most)
    if any(n % 2 for n in spec.shape[1:]):
        raise UserError(f"data has {spec.height}x{spec.width} pixels: a multi-scale flow wants even sides")
    return max(1, halvings(spec, 2, most))
