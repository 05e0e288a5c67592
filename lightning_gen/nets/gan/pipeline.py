"""The augmentations of Karras et al. 2020b (Appendix B): blits, geometry, colour, filters, noise and cutout, each drawn
per image, geometry and colour applied as one matrix each."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from lightning_gen.errors import UserError
from lightning_gen.nets.gan.augment import Transform
from lightning_gen.nets.gan.warp import Warp, fold
from lightning_gen.precision import at_least_float32, full_precision

__all__ = ["Pipeline", "colour_matrices", "filter_bank", "geometry_matrices"]

_SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
#: share of the power of natural images in each band of the filters
_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)


#: rows of random numbers that are drawn at once: on a GPU each call costs, however little it draws
_AT_ONCE = 16


class _Draw:
    """Random numbers for B images, in the dtype and on the device of `x`."""

    def __init__(self, x: Tensor, probability: Tensor) -> None:
        self.like = x.new_empty(_AT_ONCE, len(x))
        self.probability = probability.to(x)
        self.uniforms: list[Tensor] = []
        self.normals: list[Tensor] = []

    def uniform(self) -> Tensor:
        """(B,), in 0..1."""
        self.uniforms = self.uniforms or list(torch.rand_like(self.like).unbind())
        return self.uniforms.pop()

    def normal(self) -> Tensor:
        self.normals = self.normals or list(torch.randn_like(self.like).unbind())
        return self.normals.pop()

    def where(self, factor: float, value: Tensor, otherwise: float) -> Tensor:
        """`value` (B,) with probability p * `factor`, else a number."""
        return torch.where(self.uniform() < self.probability * factor, value, otherwise)

    def rotation(self, factor: float) -> Tensor:
        """An angle, (B,): twice drawn, it is another one than 0 with probability p * `factor`."""
        chance = 1 - (1 - self.probability * factor).clamp(0, 1).sqrt()
        angle = (2 * self.uniform() - 1) * math.pi
        return torch.where(self.uniform() < chance, angle, 0.0)


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """[[a, b, x], [c, d, y], [0, 0, 1]], (B, 3, 3)."""
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    return torch.stack([a, b, x, c, d, y, zero, zero, one], 1).unflatten(1, (3, 3))


def _scaled(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return _matrix(x, zero, zero, y, zero, zero)


def _turned(angle: Tensor) -> Tensor:
    zero = torch.zeros_like(angle)
    return _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos(), zero, zero)


def _moved(x: Tensor, y: Tensor) -> Tensor:
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrix(one, zero, zero, one, x, y)


def geometry_matrices(draw: _Draw, size: tuple[int, int], flip: float, blit: float, geometry: float) -> Tensor:
    """Draw the matrices from the places of the augmented images to those of the images, in pixels from the middle.

    Args:
        draw: of the images.
        size: (H, W).
        flip: factor on the probability of a mirror image.
        blit: of quarter turns, and of translations by whole pixels up to an eighth.
        geometry: of scaling 2^N(0, 0.2), rotation, stretching 2^N(0, 0.2) and translation N(0, 0.125).

    Returns:
        (B, 3, 3).
    """
    height, width = size
    sign = draw.where(flip, 1 - 2 * (2 * draw.uniform()).floor(), 1.0)
    found = _scaled(sign, torch.ones_like(sign))
    quarter = draw.where(blit, (4 * draw.uniform()).floor(), 0.0)
    # Exact entries: a cosine of a quarter turn is not 0 but for rounding, and would move pixels.
    turn = _turned(math.pi / 2 * quarter).round()
    found = found @ turn
    across, down = (((2 * draw.uniform() - 1) * 0.125 * side).round() for side in (width, height))
    share = draw.where(blit, torch.ones_like(across), 0.0)
    found = found @ _moved(-across * share, -down * share)
    size_factor = draw.where(geometry, torch.exp2(0.2 * draw.normal()), 1.0)
    found = found @ _scaled(1 / size_factor, 1 / size_factor) @ _turned(draw.rotation(geometry))
    stretch = draw.where(geometry, torch.exp2(0.2 * draw.normal()), 1.0)
    found = found @ _scaled(1 / stretch, stretch) @ _turned(draw.rotation(geometry))
    across, down = (0.125 * side * draw.normal() for side in (width, height))
    share = draw.where(geometry, torch.ones_like(across), 0.0)
    return found @ _moved(-across * share, -down * share)


def colour_matrices(draw: _Draw, colour: float, parts: Tensor) -> tuple[Tensor, Tensor]:
    """Draw brightness N(0, 0.2), contrast 2^N(0, 0.5), the mirror of luma, a rotation of hue and saturation 2^N(0, 1),
    each with probability p * `colour`.

    The last three act about the grey axis: on the grey part of a colour by a sign, on the rest by a rotation and a
    scale, so that the product of all five matrices is known in closed form.

    Args:
        draw: of the images.
        colour: factor on the probability.
        parts: (3, 3, 3): projection on the grey axis, on its complement, and the cross product with the axis.

    Returns:
        (B, 3, 3) and (B,): colour x becomes A x + b.
    """
    brightness = draw.where(colour, 0.2 * draw.normal(), 0.0)
    contrast = draw.where(colour, torch.exp2(0.5 * draw.normal()), 1.0)
    sign = draw.where(colour, 1 - 2 * (2 * draw.uniform()).floor(), 1.0)
    angle = draw.where(colour, (2 * draw.uniform() - 1) * math.pi, 0.0)
    saturation = draw.where(colour, torch.exp2(draw.normal()), 1.0)
    factors = torch.stack([sign, saturation * angle.cos(), saturation * angle.sin()], 1)  # (B, 3)
    matrix = torch.einsum("bk,kij->bij", factors, parts.to(factors.dtype))
    return contrast[:, None, None] * matrix, contrast * sign * brightness


def _grey_parts() -> Tensor:
    grey = torch.full((3, 3), 1 / 3, dtype=torch.float64)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / math.sqrt(3)
    return torch.stack([grey, torch.eye(3, dtype=torch.float64) - grey, cross])


def filter_bank() -> Tensor:
    """Make the four band-pass filters, octave by octave from the lowest, (4, 43); their sum is the identity."""
    low = torch.tensor(_SYM2, dtype=torch.float64)
    high = low * torch.tensor([1.0, -1, 1, -1], dtype=torch.float64)
    low2, high2 = (_convolved(taps, taps.flip(0)) / 2 for taps in (low, high))
    bank = torch.eye(4, 1, dtype=torch.float64)
    for i in range(1, 4):
        bank = torch.stack([bank, torch.zeros_like(bank)], 2).flatten(1)[:, :-1]  # zeros in between
        bank = torch.stack([_convolved(row, low2) for row in bank])
        first = (bank.shape[1] - len(high2)) // 2
        bank[i, first : first + len(high2)] += high2
    return bank


def _convolved(a: Tensor, b: Tensor) -> Tensor:
    return torch.nn.functional.conv1d(a.view(1, 1, -1), b.flip(0).view(1, 1, -1), padding=len(b) - 1).flatten()


@final
class Pipeline(Transform, nn.Module):
    """All augmentations of the paper in its order; off by a factor of 0. Pixels that come in at the edge are the
    image's reflection. Of images without three channels colour has brightness, contrast and the mirror of luma alone.

    Args:
        flip: factor on the probability of a mirror image; wrong where left matters, as in letters and digits.
        blit: of quarter turns and translations by whole pixels.
        geometry: of scaling, rotation, stretching and translation.
        colour: of brightness, contrast, luma, hue and saturation.
        filters: of amplifying or damping four bands of frequencies.
        noise: of noise with standard deviation \\|N(0, 0.1)\\|.
        cutout: of a square of half the sides, grey.

    Raises:
        UserError: a factor is below 0.
    """

    grey: Tensor
    bank: Tensor
    power: Tensor
    identity: Tensor

    def __init__(
        self,
        flip: float = 1.0,
        blit: float = 1.0,
        geometry: float = 1.0,
        colour: float = 1.0,
        filters: float = 0.0,
        noise: float = 0.0,
        cutout: float = 0.0,
    ) -> None:
        nn.Module.__init__(self)
        factors = {"flip": flip, "blit": blit, "geometry": geometry, "colour": colour}
        factors |= {"filters": filters, "noise": noise, "cutout": cutout}
        for name, factor in factors.items():
            if factor < 0:
                raise UserError(f"transform Pipeline.{name} is {factor}: want 0 or more")
        self.factors = factors
        self.warp = Warp()
        constants = {"grey": _grey_parts(), "bank": filter_bank(), "identity": torch.eye(3)}
        constants["power"] = torch.tensor(_POWER, dtype=torch.float64)
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def __call__(self, x: Tensor) -> Tensor:
        return self.sometimes(x, x.new_ones(()))

    def sometimes(self, x: Tensor, probability: Tensor) -> Tensor:
        stages: tuple[tuple[Callable[[Tensor, _Draw], Tensor], tuple[str, ...]], ...] = (
            (self._move, ("flip", "blit", "geometry")),
            (self._recolour, ("colour",)),
            (self._filter, ("filters",)),
            (self._disturb, ("noise",)),
            (self._cut, ("cutout",)),
        )
        dtype = x.dtype
        with full_precision(x):  # 16 bits would show as noise of its own
            x = at_least_float32(x)
            for stage, names in stages:
                if any(self.factors[name] for name in names):
                    x = stage(x, _Draw(x, probability))
        return x.to(dtype)

    def _move(self, x: Tensor, draw: _Draw) -> Tensor:
        factors = (self.factors[name] for name in ("flip", "blit", "geometry"))
        matrix = geometry_matrices(draw, (x.shape[2], x.shape[3]), *factors)
        moved = (matrix != self.identity).flatten(1).any(1)
        # An image that does not move is not filtered either.
        return torch.where(moved[:, None, None, None], self.warp(x, matrix[:, :2]), x)

    def _recolour(self, x: Tensor, draw: _Draw) -> Tensor:
        matrix, shift = colour_matrices(draw, self.factors["colour"], self.grey)
        shift = shift[:, None, None, None]
        if x.shape[1] == 3:
            return torch.einsum("bij,bjhw->bihw", matrix, x) + shift
        return x * matrix.sum((1, 2))[:, None, None, None] / 3 + shift  # what it does to grey

    def _filter(self, x: Tensor, draw: _Draw) -> Tensor:
        power = self.power.to(x.dtype)
        gain = x.new_ones(len(x), 4)
        for band in range(4):
            changed = x.new_ones(len(x), 4)
            changed[:, band] = draw.where(self.factors["filters"], torch.exp2(draw.normal()), 1.0)
            gain = gain * changed * (power * changed.square()).sum(1, keepdim=True).rsqrt()
        taps = gain @ self.bank.to(x.dtype)  # (B, 43)
        return _filtered(_filtered(x, taps).mT, taps).mT

    def _disturb(self, x: Tensor, draw: _Draw) -> Tensor:
        deviation = draw.where(self.factors["noise"], 0.1 * draw.normal().abs(), 0.0)
        return x + deviation[:, None, None, None] * torch.randn_like(x)

    def _cut(self, x: Tensor, draw: _Draw) -> Tensor:
        side = draw.where(self.factors["cutout"], torch.full_like(draw.uniform(), 0.5), 0.0)
        inside = x.new_ones(())
        for axis, length in ((2, x.shape[2]), (3, x.shape[3])):
            place = (torch.arange(length, device=x.device, dtype=x.dtype) + 0.5) / length
            near = ((place - draw.uniform()[:, None]).abs() < side[:, None] / 2).to(x.dtype)  # (B, length)
            inside = inside * (near[:, None, :, None] if axis == 2 else near[:, None, None, :])
        return x * (1 - inside)


def _filtered(x: Tensor, taps: Tensor) -> Tensor:
    """Filter the rows of images (B, C, H, W), reflected at the edges, each by its own taps (B, T)."""
    count, channels, height, width = x.shape
    reach = taps.shape[1] // 2
    place = fold(torch.arange(-reach, width + reach, device=x.device), width)
    rows = x[..., place].reshape(1, count * channels, height, -1)
    weight = taps.repeat_interleave(channels, 0)[:, None, None]  # (B C, 1, 1, T)
    return conv2d(rows, weight, groups=count * channels).view_as(x)
