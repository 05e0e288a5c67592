"""The two generators of StackGAN (Zhang et al. 2017): a sketch from noise and text, and a picture from the sketch."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.text.blocks import Joined, Residual, narrowed, starting_side, upward

__all__ = ["StageOne", "StageTwo"]


def _bottleneck(channels: int) -> Residual:
    """The residual block of the reference code: 1x1, 3x3, 3x3, a quarter as wide inside."""
    inner = max(4, channels // 4)
    body = nn.Sequential(
        nn.Conv2d(channels, inner, 1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, inner, 3, padding=1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )
    return Residual(body, relu)


def _plain(channels: int) -> Residual:
    body = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )
    return Residual(body, relu)


@final
class StageOne(nn.Module):
    """z (B, Z) and a code (B, K) -> signed image (B, C, h, w): a fully connected layer, a residual block after each of
    the two coarsest resolutions, nearest-neighbour upsampling (Zhang et al. 2017, Section 3.3).

    Args:
        spec: of the small images.
        latent_dim: Z.
        features: K.
        width: channels at half the final resolution, doubled at each coarser one (128 in the paper).
    """

    def __init__(self, spec: ImageSpec, latent_dim: int, features: int, width: int = 16) -> None:
        super().__init__()
        check_counts("generator", width=width)
        stages, height, side = starting_side(spec)
        channels = narrowed(width, stages)
        self.start = nn.Sequential(
            nn.Linear(latent_dim + features, channels * height * side, bias=False),
            nn.BatchNorm1d(channels * height * side),
            nn.Unflatten(1, (channels, height, side)),
        )
        layers: list[nn.Module] = [_bottleneck(channels)]
        for i in range(stages):
            layers.append(upward(channels, channels // 2))
            channels //= 2
            layers += [_bottleneck(channels)] if i == 0 else []
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, spec.channels, 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor, code: Tensor) -> Tensor:
        return self.layers(relu(self.start(torch.cat([z, code], 1))))


@final
class StageTwo(nn.Module):
    """A signed image (B, C, h, w) of Stage I and a code (B, K) of its own -> signed image (B, C, H, W); no new noise.
    The sketch is encoded, joined with the code at its coarsest resolution, put through residual blocks, and upsampled
    (Zhang et al. 2017, Section 3.4).

    Args:
        spec: of the images.
        features: K.
        shrink: H / h, a power of two.
        width: channels of the first layer (128 in the paper).
        blocks: residual blocks, 1 or more (4 in the paper, 2 for COCO).

    Raises:
        UserError: `shrink` is no power of two.
    """

    def __init__(self, spec: ImageSpec, features: int, shrink: int, width: int = 16, blocks: int = 2) -> None:
        super().__init__()
        check_counts("generator", width=width, blocks=blocks)
        if shrink < 2 or shrink & (shrink - 1):
            raise UserError(f"model.shrink is {shrink}: want 2, 4 or another power of two")
        small = ImageSpec(spec.channels, spec.height // shrink, spec.width // shrink)
        downs = starting_side(small, most=2)[0]
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1), nn.ReLU()]
        for i in range(downs):
            conv = nn.Conv2d(width << i, width << (i + 1), 4, 2, 1, bias=False)
            layers += [conv, nn.BatchNorm2d(width << (i + 1)), nn.ReLU()]
        channels = width << downs
        self.encode = nn.Sequential(*layers)
        join = nn.Conv2d(channels + features, channels, 3, padding=1, bias=False)
        self.join = Joined(nn.Sequential(join, nn.BatchNorm2d(channels), nn.ReLU()))
        after: list[nn.Module] = [_plain(channels) for _ in range(blocks)]
        for _ in range(downs + shrink.bit_length() - 1):
            after.append(upward(channels, max(8, channels // 2)))
            channels = max(8, channels // 2)
        self.layers = nn.Sequential(*after, nn.Conv2d(channels, spec.channels, 3, padding=1), nn.Tanh())

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        return self.layers(self.join(self.encode(image), code))
