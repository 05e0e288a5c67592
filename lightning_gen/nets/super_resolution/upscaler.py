"""What networks from small pictures to large ones share: their scale, two ways to enlarge, a scale in steps."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

__all__ = ["Enlarge", "NearestConvolution", "ShuffledConvolution", "Upscaler", "enlargement", "factors", "shrink"]

#: called with (channels, factor): (B, C, h, w) -> (B, C, h * factor, w * factor)
Enlarge = Callable[[int, int], nn.Module]


class Upscaler(nn.Module, ABC):
    """Signed sources (B, C, h, w) -> signed images (B, C, h * scale, w * scale), of any size.

    Args:
        spec: of the images; with a source of the same channels, whose sides are theirs by 2, 3, 4 or 8.

    Raises:
        UserError: there is no such source.
    """

    scales: ClassVar[tuple[int, ...]] = (2, 3, 4, 8)

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        source = spec.source
        ratios = {a / b for a, b in zip(spec.shape[1:], source.shape[1:], strict=True)} if source else set()
        if source is None or len(ratios) != 1 or ratios.isdisjoint(self.scales) or source.channels != spec.channels:
            raise UserError(f"data has images of {spec} from {source}: want a source smaller by 2, 3, 4 or 8")
        self.scale = int(ratios.pop())

    @property
    @abstractmethod
    def radius(self) -> int:
        """Source pixels between a pixel and the farthest one that its output depends on."""

    @abstractmethod
    def forward(self, source: Tensor) -> Tensor:
        """Signed (B, C, h, w) -> signed (B, C, h * scale, w * scale)."""


def factors(scale: int) -> list[int]:
    """Split a scale into steps: 4 -> [2, 2], 3 -> [3]."""
    return {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]


def enlargement(channels: int, scale: int, enlarge: Enlarge, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Make the layers that enlarge maps by `scale`, an activation after each step."""
    layers: list[nn.Module] = []
    for factor in factors(scale):
        layers += [enlarge(channels, factor), activation()]
    return nn.Sequential(*layers)


class ShuffledConvolution(nn.Module):
    """A convolution to factor^2 times the channels, which become pixels (Shi et al. 2016, Section 3.2). The first
    weights of those pixels are equal, so that no checkerboard is there at the start (Aitken et al. 2017, ICNR).

    Args:
        channels: C.
        factor: 2 or 3.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.conv, self.shuffle = nn.Conv2d(channels, channels * factor**2, 3, padding=1), nn.PixelShuffle(factor)
        with torch.no_grad():
            for value in self.conv.parameters():
                value.copy_(value[:: factor**2].repeat_interleave(factor**2, 0))

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.conv(x))


class NearestConvolution(nn.Module):
    """The nearest pixel, then a convolution (Odena et al. 2016), as in ESRGAN.

    Args:
        channels: C.
        factor: 2 or 3.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.enlarge = nn.Upsample(scale_factor=factor, mode="nearest")
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.enlarge(x))


def shrink(module: nn.Module, factor: float = 0.1) -> None:
    """Draw the first weights of all convolutions of a residual branch as Kaiming does, times `factor`: a deep network
    begins near the identity (Wang et al. 2018, Section 3.4)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data.mul_(factor)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
