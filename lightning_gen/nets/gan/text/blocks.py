"""Blocks that the generators of text to image share."""

from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from lightning_gen.context import with_context
from lightning_gen.images import ImageSpec, halvings

__all__ = ["Joined", "Residual", "gated", "narrowed", "of_side", "starting_side", "upward"]


def of_side(spec: ImageSpec, shrink: int) -> ImageSpec:
    """Describe the same images with both sides divided by `shrink`."""
    return ImageSpec(spec.channels, spec.height // shrink, spec.width // shrink, spec.levels)


def starting_side(spec: ImageSpec, most: int | None = None) -> tuple[int, int, int]:
    """Count halvings down to 4 to 7 pixels, at most `most`, and give the height and width there."""
    stages = halvings(spec, most=most)
    return stages, spec.height >> stages, spec.width >> stages


def narrowed(width: int, doublings: int, least: int = 8) -> int:
    """Give the channels of a resolution that is `doublings` coarser than the one of `width`; negative: finer."""
    return width << doublings if doublings >= 0 else max(least, width >> -doublings)


def upward(into: int, out: int) -> nn.Sequential:
    """Double the resolution by nearest neighbours, then convolve: StackGAN's upsampling block."""
    conv = nn.Conv2d(into, out, 3, padding=1, bias=False)
    return nn.Sequential(nn.Upsample(scale_factor=2.0), conv, nn.BatchNorm2d(out), nn.ReLU())


def gated(into: int, out: int, scale: float | None = None) -> nn.Sequential:
    """The same with a gated linear unit (Zhang et al. 2018, StackGAN++); `scale` None: at the resolution it has."""
    first = [nn.Upsample(scale_factor=scale)] if scale else []
    conv = nn.Conv2d(into, 2 * out, 3, padding=1, bias=False)
    return nn.Sequential(*first, conv, nn.BatchNorm2d(2 * out), nn.GLU(1))


@final
class Residual(nn.Module):
    """x + body(x), and what comes behind the sum.

    Args:
        body: keeps the shape.
        after: of the sum (None: nothing).
    """

    def __init__(self, body: nn.Module, after: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.body, self.after = body, after

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.body(x)
        return y if self.after is None else self.after(y)


@final
class Joined(nn.Module):
    """A network over maps with the code of the text at every pixel.

    Args:
        net: called with maps (B, C + K, H, W).
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Maps (B, C, H, W) and codes (B, K)."""
        return self.net(with_context(x, code))
