"""The networks of R3GAN (Huang et al. 2024, Section 3 and Figure 4): grouped residual blocks without any norm, held by
their initialisation alone (Fixup, Zhang et al. 2019)."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, halvings
from lightning_gen.nets.gan.dcgan import join
from lightning_gen.nets.gan.discriminator import Head, HeadedDiscriminator, LinearHead

__all__ = ["R3GANDiscriminator", "R3GANGenerator"]

_SLOPE = 0.2
#: keeps the variance of a signal through one leaky ReLU
_GAIN = math.sqrt(2.0 / (1.0 + _SLOPE**2))


def _scaled(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """Normal weights of variance gain^2 / fan-in."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    return layer


class _Block(nn.Module):
    """x + conv1x1(act(conv3x3 grouped(act(conv1x1(x))))), biases before the activations only; the identity at start.

    Args:
        channels: in and out.
        group: channels of a group in the middle, twice as wide as the block.
        depth: number of blocks in the network.
    """

    def __init__(self, channels: int, group: int, depth: int) -> None:
        super().__init__()
        wide, gain = 2 * channels, _GAIN * depth**-0.25  # Fixup's L^(-1 / (2m - 2)) with m = 3
        if group < 1 or wide % group:
            raise UserError(f"group is {group}: want a divisor of {wide}")
        self.widen = _scaled(nn.Conv2d(channels, wide, 1), gain)
        self.mix = _scaled(nn.Conv2d(wide, wide, 3, padding=1, groups=wide // group), gain)
        self.narrow = nn.Conv2d(wide, channels, 1, bias=False)
        for bias in (self.widen.bias, self.mix.bias):
            nn.init.zeros_(bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = leaky_relu(self.widen(x), _SLOPE)
        return x + self.narrow(leaky_relu(self.mix(h), _SLOPE))


def _widths(spec: ImageSpec, width: int, most: int) -> list[int]:
    """Channels from the finest resolution to the coarsest."""
    return [min(width << i, most) for i in range(halvings(spec) + 1)]


def _change(into: int, out: int) -> nn.Module:
    return nn.Identity() if into == out else _scaled(nn.Conv2d(into, out, 1, bias=False))


@final
class R3GANGenerator(nn.Module):
    """z (B, Z) and a context (B, K) or None, joined -> signed image (B, C, H, W), not squashed: values may leave
    [-1, 1] and are clamped where they become pixels.

    Args:
        spec: of the images.
        latent_dim: Z.
        features: K, 0 where there is no context.
        width: channels at full resolution; doubled at each coarser one.
        most: channels at most.
        blocks: at each resolution (2 in the paper).
        group: see `_Block` (16 or 32 in the paper).
    """

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        features: int = 0,
        width: int = 64,
        most: int = 256,
        blocks: int = 2,
        group: int = 16,
    ) -> None:
        super().__init__()
        widths = _widths(spec, width, most)[::-1]
        depth, stages = blocks * len(widths), len(widths) - 1
        self.basis = nn.Parameter(torch.randn(widths[0], spec.height >> stages, spec.width >> stages))
        self.modulate = _scaled(nn.Linear(latent_dim + features, widths[0], bias=False))
        self.stages = nn.ModuleList(
            nn.Sequential(_change(widths[max(i - 1, 0)], w), *(_Block(w, group, depth) for _ in range(blocks)))
            for i, w in enumerate(widths)
        )
        self.to_image = _scaled(nn.Conv2d(widths[-1], spec.channels, 1, bias=False))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        x = self.basis * self.modulate(join(z, context))[:, :, None, None]
        for i, stage in enumerate(self.stages):
            x = stage(_double(x) if i else x)
        return self.to_image(x)


def _double(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


@final
class R3GANDiscriminator(HeadedDiscriminator):
    """The mirror image of the generator.

    Args:
        spec: of the images.
        width: channels at full resolution; doubled at each coarser one.
        most: channels at most.
        blocks: at each resolution (2 in the paper).
        group: see `_Block`.
        head: called with (spec, features).
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 64,
        most: int = 256,
        blocks: int = 2,
        group: int = 16,
        head: Callable[[ImageSpec, int], Head] = LinearHead,
    ) -> None:
        widths = _widths(spec, width, most)
        super().__init__(spec, widths[-1], head)
        depth, stages = blocks * len(widths), len(widths) - 1
        self.read = _scaled(nn.Conv2d(spec.channels, widths[0], 1, bias=False))
        self.stages = nn.ModuleList(
            nn.Sequential(_change(widths[max(i - 1, 0)], w), *(_Block(w, group, depth) for _ in range(blocks)))
            for i, w in enumerate(widths)
        )
        last, size = widths[-1], (spec.height >> stages, spec.width >> stages)
        self.pool = _scaled(nn.Conv2d(last, last, size, groups=last, bias=False))

    def embed(self, x: Tensor) -> Tensor:
        x = self.read(x)
        for i, stage in enumerate(self.stages):
            x = stage(avg_pool2d(x, 2) if i else x)
        return self.pool(x).flatten(1)
