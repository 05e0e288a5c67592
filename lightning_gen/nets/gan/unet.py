"""The networks of Pix2Pix (Isola et al. 2017, Section 6.1): a U-Net and a discriminator of patches."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.discriminator import DiscriminatorOutput
from lightning_gen.nets.gan.patch import init_normal, patch_layers, whole_layers
from lightning_gen.nets.layers.norms import InstanceNorm

__all__ = ["PairDiscriminator", "PatchDiscriminator", "UNet", "WholeDiscriminator"]


class _Level(nn.Module):
    """One level of the U: half the resolution, the levels below, full resolution again, and a skip beside them."""

    def __init__(self, outside: int, inside: int, below: "nn.Module | None", outermost: bool, dropout: float) -> None:
        super().__init__()
        activate = [] if outermost else [nn.LeakyReLU(0.2)]
        innermost = below is None
        bare = outermost or innermost  # one pixel has no statistics, the source keeps its own
        self.down = nn.Sequential(
            *activate, nn.Conv2d(outside, inside, 4, 2, 1), *([] if bare else [InstanceNorm(inside)])
        )
        self.below = below or nn.Identity()
        # Enlarging before a convolution leaves no checkerboard (Odena et al. 2016).
        enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        conv = nn.Conv2d(inside if innermost else 2 * inside, outside, 3, padding=1)
        after = [] if outermost else [InstanceNorm(outside), nn.Dropout(dropout)]
        self.up = nn.Sequential(nn.ReLU(), enlarge, conv, *after)
        self.outermost = outermost

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.below(self.down(x)))
        return y if self.outermost else torch.cat([x, y], 1)


@final
class UNet(nn.Module):
    """Signed sources (B, C', H, W) -> signed images (B, C, H, W) in [-1, 1], of any size: sides that are no multiple of
    2^depth are padded by their edge and cut back.

    Enlarging is a nearest-neighbour step and a 3x3 convolution, where the paper has a transposed convolution; norms are
    per picture, where it has batch norm on batches of one.

    Args:
        spec: of the images; with a source of the same height and width.
        width: channels of the first level, doubled at each up to eight times.
        depth: levels, 2 or more (None: down to 1 pixel of the shorter side, at most 8).
        dropout: share of the channels left out in the levels of full width, in training; 0.5 in the paper.

    Raises:
        UserError: the images have no source, or one of another size.
    """

    def __init__(self, spec: ImageSpec, width: int = 64, depth: int | None = None, dropout: float = 0.5) -> None:
        super().__init__()
        check_counts("generator", width=width)
        if spec.source is None or spec.source.shape[1:] != spec.shape[1:]:
            raise UserError(f"data has the source {spec.source}: UNet wants one of {spec.height}x{spec.width} pixels")
        self.depth = depth or min(8, min(spec.height, spec.width).bit_length() - 1)
        if self.depth < 2:
            raise UserError(f"generator.depth is {self.depth}: want 2 or more, and images of 4 pixels or more")
        widths = [min(width << i, 8 * width) for i in range(self.depth)]
        level: nn.Module | None = None
        for i in reversed(range(1, self.depth)):
            full = widths[i - 1] == widths[i] and i < self.depth - 1
            level = _Level(widths[i - 1], widths[i], level, False, dropout if full else 0.0)
        self.levels = _Level(spec.source.channels, widths[0], level, True, 0.0)
        self.levels.up[-1] = nn.Conv2d(2 * widths[0], spec.channels, 3, padding=1)
        self.apply(init_normal)

    def forward(self, source: Tensor) -> Tensor:
        height, width = source.shape[2:]
        multiple = 1 << self.depth
        x = pad(source, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        return self.levels(x)[:, :, :height, :width].tanh()


class PairDiscriminator(nn.Module, ABC):
    """A player that judges images beside their sources."""

    @abstractmethod
    def forward(self, x: Tensor, source: Tensor) -> DiscriminatorOutput:
        """Signed images (B, C, H, W) and signed sources (B, C', H, W)."""


@final
class PatchDiscriminator(PairDiscriminator):
    """Says of every patch of a picture, given its source, whether it is real.

    Args:
        spec: of the images; with a source of the same height and width.
        width: channels of the first layer, doubled at each up to eight times.
        layers: halvings; 1, 2, 3 see patches of 16, 34, 70 pixels.
    """

    def __init__(self, spec: ImageSpec, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        if spec.source is None:
            raise UserError("data has no source images: PatchDiscriminator wants a set of pairs")
        self.layers = patch_layers(spec.channels + spec.source.channels, width, layers)

    def forward(self, x: Tensor, source: Tensor) -> DiscriminatorOutput:
        """Signed images (B, C, H, W) and sources (B, C', H, W) -> logits (B, 1, h, w)."""
        return DiscriminatorOutput(self.layers(torch.cat([source, x], 1)))


@final
class WholeDiscriminator(PairDiscriminator):
    """Says of a picture as a whole, given its source, whether it is real (the ImageGAN of Isola et al. 2017, Section
    4.4).

    Args:
        spec: of the images, of 8 pixels or more; with a source of the same height and width.
        width: channels of the first layer, doubled at each up to eight times.
    """

    def __init__(self, spec: ImageSpec, width: int = 64) -> None:
        super().__init__()
        if spec.source is None:
            raise UserError("data has no source images: WholeDiscriminator wants a set of pairs")
        self.layers = whole_layers(spec.channels + spec.source.channels, spec.height, spec.width, width)

    def forward(self, x: Tensor, source: Tensor) -> DiscriminatorOutput:
        """Signed images (B, C, H, W) and sources (B, C', H, W) -> logits (B, 1, 1, 1)."""
        return DiscriminatorOutput(self.layers(torch.cat([source, x], 1)))
