"""Networks that draw images of several sizes at once: the tree of StackGAN++, and DF-GAN's single stage."""

import itertools
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.text.blocks import Joined, Residual, gated, narrowed, of_side, starting_side
from lightning_gen.nets.gan.text.generator import TextNet

__all__ = ["ModulatedNet", "TreeNet"]


def _residual(channels: int) -> Residual:
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return Residual(nn.Sequential(gated(channels, channels), conv, nn.BatchNorm2d(channels)))


def _to_image(channels: int, spec: ImageSpec) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, spec.channels, 3, padding=1), nn.Tanh())


@final
class TreeNet(TextNet):
    """A trunk with a branch at each of its last resolutions (Zhang et al. 2018, Section 4.1): gated linear units; each
    stage after the first joins the code again, and has residual blocks.

    Args:
        spec: of the largest images.
        latent_dim: Z.
        features: K.
        width: channels at the smallest image; doubled at each coarser resolution, halved at each finer one (64 in the
            reference code).
        branches: sizes of images, each half of the next, 1 or more.
        blocks: residual blocks of a stage, 1 or more (2 in the reference code).

    Raises:
        UserError: the images cannot be halved so often.
    """

    def __init__(
        self, spec: ImageSpec, latent_dim: int, features: int, width: int = 32, branches: int = 3, blocks: int = 1
    ) -> None:
        super().__init__()
        check_counts("generator", width=width, branches=branches, blocks=blocks)
        most = starting_side(spec)[0] + 1
        if branches > most:
            raise UserError(f"generator.branches is {branches}: want at most {most} for images of {spec}")
        self.shrinks = tuple(1 << i for i in reversed(range(branches)))
        stages, height, side = starting_side(of_side(spec, self.shrinks[0]))
        channels = narrowed(width, stages)
        self.start = nn.Sequential(
            nn.Linear(latent_dim + features, 2 * channels * height * side, bias=False),
            nn.BatchNorm1d(2 * channels * height * side),
            nn.GLU(1),
            nn.Unflatten(1, (channels, height, side)),
        )
        trunk = [gated(narrowed(width, i + 1), narrowed(width, i), 2.0) for i in reversed(range(stages))]
        self.trunk = nn.Sequential(*trunk)
        self.stages, self.heads = nn.ModuleList(), nn.ModuleList([_to_image(width, spec)])
        for i in range(1, branches):
            into, out = narrowed(width, 1 - i), narrowed(width, -i)
            inner = [_residual(into) for _ in range(blocks)]
            self.stages.append(Joined(nn.Sequential(gated(into + features, into), *inner, gated(into, out, 2.0))))
            self.heads.append(_to_image(out, spec))

    def forward(self, z: Tensor, code: Tensor) -> tuple[Tensor, ...]:
        x = self.trunk(self.start(torch.cat([code, z], 1)))
        images = [self.heads[0](x)]
        for stage, head in zip(self.stages, list(self.heads)[1:], strict=True):
            x = stage(x, code)
            images.append(head(x))
        return tuple(images)


class _Modulation(nn.Module):
    """x -> LeakyReLU(scale(c) x + shift(c)), twice: DF-GAN's fusion of text and image (Tao et al. 2022, Eq. 3-5)."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 2 * channels)) for _ in range(2)
        )
        for layer in self.layers:  # the identity at the beginning
            last: nn.Linear = layer[2]  # type: ignore[index]
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        for layer in self.layers:
            scale, shift = layer(code)[:, :, None, None].chunk(2, 1)
            x = leaky_relu((1.0 + scale) * x + shift, 0.2)
        return x


class _ModulatedBlock(nn.Module):
    """Twice the resolution, then two convolutions behind modulations, beside a shortcut."""

    def __init__(self, into: int, out: int, features: int) -> None:
        super().__init__()
        self.one, self.two = _Modulation(into, features), _Modulation(out, features)
        self.first, self.second = nn.Conv2d(into, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        x = interpolate(x, scale_factor=2.0)
        return self.shortcut(x) + self.second(self.two(self.first(self.one(x, code)), code))


@final
class ModulatedNet(TextNet):
    """One stage: blocks whose features are scaled and shifted by the text and the noise, without normalisation (Tao et
    al. 2022, DF-GAN, Section 3.3).

    Args:
        spec: of the images.
        latent_dim: Z.
        features: K.
        width: channels at full resolution; doubled at each coarser one, up to 8 times (32 in the reference code).
    """

    shrinks = (1,)

    def __init__(self, spec: ImageSpec, latent_dim: int, features: int, width: int = 16) -> None:
        super().__init__()
        check_counts("generator", width=width)
        stages, height, side = starting_side(spec)
        sizes = [width * min(8, 1 << i) for i in reversed(range(stages + 1))]
        first = nn.Linear(latent_dim, sizes[0] * height * side)
        self.start = nn.Sequential(first, nn.Unflatten(1, (sizes[0], height, side)))
        self.blocks = nn.ModuleList(
            _ModulatedBlock(into, out, latent_dim + features) for into, out in itertools.pairwise(sizes)
        )
        self.to_image = nn.Sequential(nn.LeakyReLU(0.2), *_to_image(width, spec))

    def forward(self, z: Tensor, code: Tensor) -> tuple[Tensor, ...]:
        x, code = self.start(z), torch.cat([z, code], 1)
        for block in self.blocks:
            x = block(x, code)
        return (self.to_image(x),)
