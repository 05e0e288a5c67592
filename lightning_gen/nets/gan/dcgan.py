"""DCGAN networks (Radford et al. 2016), sized from the image spec: 8x8 to 64x64 and beyond."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.images import ImageSpec, halvings
from lightning_gen.nets.gan.discriminator import Head, HeadedDiscriminator, LinearHead
from lightning_gen.nets.layers.norms import BatchNorm, Norm

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "join"]


def join(z: Tensor, context: Tensor | None) -> Tensor:
    """(B, Z) and (B, K) or None -> (B, Z + K): conditioning by concatenation (Mirza and Osindero 2014)."""
    return z if context is None else torch.cat([z, context], 1)


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)


class _Stage(nn.Module):
    """Convolution, norm, activation."""

    def __init__(self, conv: nn.Module, norm: Norm, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.act = conv, norm, act

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.act(self.norm(self.conv(x), context))


@final
class DCGANGenerator(nn.Module):
    """z (B, Z) and a context (B, K) or None -> signed image (B, C, H, W) in [-1, 1]; the context is joined to z, and
    reaches conditional norms.

    Args:
        spec: of the images.
        latent_dim: Z.
        features: K, 0 where there is no context.
        width: channels at full resolution; doubled at each coarser one.
        norm: called with (channels, K).
    """

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        features: int = 0,
        width: int = 64,
        norm: Callable[[int, int], Norm] = BatchNorm,
    ) -> None:
        super().__init__()
        stages = halvings(spec)
        channels = width * 2**stages
        start = (spec.height >> stages, spec.width >> stages)
        first = norm(channels, features)
        conv = nn.ConvTranspose2d(latent_dim + features, channels, start, bias=not first.shifts)
        self.stages = nn.ModuleList([_Stage(conv, first, nn.ReLU())])
        for _ in range(stages):
            channels //= 2
            after = norm(channels, features)
            conv = nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1, bias=not after.shifts)
            self.stages.append(_Stage(conv, after, nn.ReLU()))
        self.to_image = nn.Conv2d(channels, spec.channels, 3, padding=1)
        self.apply(_init)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        x = join(z, context)[:, :, None, None]
        for stage in self.stages:
            x = stage(x, context)
        return self.to_image(x).tanh()


@final
class DCGANDiscriminator(HeadedDiscriminator):
    """Strided convolutions, channels doubled at each halving.

    Args:
        spec: of the images.
        width: channels at the finest resolution.
        norm: called with (channels, 0); NoNorm under a gradient penalty or spectral normalisation.
        head: called with (spec, features).
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 64,
        norm: Callable[[int, int], Norm] = BatchNorm,
        head: Callable[[ImageSpec, int], Head] = LinearHead,
    ) -> None:
        stages = halvings(spec)
        super().__init__(spec, (width << stages) * (spec.height >> stages) * (spec.width >> stages), head)
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        for i in range(stages):
            after = norm(width << (i + 1), 0)
            conv = nn.Conv2d(width << i, width << (i + 1), 4, 2, 1, bias=not after.shifts)
            layers.append(_Stage(conv, after, nn.LeakyReLU(0.2)))
        self.layers = nn.Sequential(*layers).apply(_init)
        for module in self.head.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def embed(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten(1)
