"""Discriminators of patches and of whole pictures, and what they share with the networks of Pix2Pix and CycleGAN."""

from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.discriminator import Discriminator, DiscriminatorOutput
from lightning_gen.nets.layers.last import LastConv2d
from lightning_gen.nets.layers.norms import InstanceNorm, Norm

__all__ = [
    "DomainDiscriminator",
    "NormFactory",
    "WholeDomainDiscriminator",
    "init_normal",
    "patch_layers",
    "whole_layers",
]


NormFactory = Callable[[int, int], Norm]


def init_normal(module: nn.Module) -> None:
    """Draw the first weights as Pix2Pix and CycleGAN do: N(0, 0.02) for convolutions, N(1, 0.02) for norms; for
    `torch.nn.Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.InstanceNorm2d | nn.GroupNorm) and module.weight is not None:
        nn.init.normal_(module.weight, 1.0, 0.02)


def patch_layers(into: int, width: int, layers: int, norm: NormFactory = InstanceNorm) -> nn.Sequential:
    """Make the layers of a discriminator of patches (Isola et al. 2017, Section 6.1.2).

    Args:
        into: channels of what it sees.
        width: channels of the first layer, doubled at each up to eight times.
        layers: halvings; 1, 2, 3 see patches of 16, 34, 70 pixels.
        norm: called with (channels, 0).

    Returns:
        (B, into, H, W) -> logits (B, 1, h, w).
    """
    check_counts("discriminator", width=width, layers=layers)
    found: list[nn.Module] = [nn.Conv2d(into, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    channels = width
    for i in range(1, layers + 1):
        before, channels = channels, min(width << i, 8 * width)
        stride = 2 if i < layers else 1
        found += [nn.Conv2d(before, channels, 4, stride, 1), norm(channels, 0), nn.LeakyReLU(0.2)]
    return nn.Sequential(*found, LastConv2d(channels, 1, 4, 1, 1)).apply(init_normal)


def whole_layers(
    into: int, height: int, width_in_pixels: int, width: int, norm: NormFactory = InstanceNorm
) -> nn.Sequential:
    """Make the layers of a discriminator of whole pictures: halvings down to 4 to 7 pixels, then one logit.

    Args:
        into: channels of what it sees.
        height: of the pictures.
        width_in_pixels: of the pictures.
        width: channels of the first layer, doubled at each up to eight times.
        norm: called with (channels, 0).

    Returns:
        (B, into, height, width_in_pixels) -> logits (B, 1, 1, 1).

    Raises:
        UserError: pictures below 8 pixels.
    """
    check_counts("discriminator", width=width)
    if min(height, width_in_pixels) < 8:
        raise UserError(f"data has pictures of {height}x{width_in_pixels} pixels: this discriminator wants 8 or more")
    found: list[nn.Module] = []
    channels, sides = into, [height, width_in_pixels]
    while min(sides) >= 8:
        before, channels = channels, width if not found else min(2 * channels, 8 * width)
        normed = [norm(channels, 0)] if found else []
        found += [nn.Conv2d(before, channels, 4, 2, 1), *normed, nn.LeakyReLU(0.2)]
        sides = [side // 2 for side in sides]
    return nn.Sequential(*found, LastConv2d(channels, 1, (sides[0], sides[1]))).apply(init_normal)


class _Unconditional(Discriminator):
    keys = ()
    layers: nn.Sequential

    def forward(self, x: Tensor, batch: Batch | None = None) -> DiscriminatorOutput:
        """Signed images (B, C, H, W) -> logits (B, 1, h, w)."""
        return DiscriminatorOutput(self.layers(x))


@final
class DomainDiscriminator(_Unconditional):
    """Says of every patch of a picture whether it is a real one of a domain (Zhu et al. 2017, Section 4).

    Args:
        spec: of the images.
        width: channels of the first layer, doubled at each up to eight times.
        layers: halvings; 1, 2, 3 see patches of 16, 34, 70 pixels.
        norm: called with (channels, 0), of the middle layers.
    """

    def __init__(self, spec: ImageSpec, width: int = 64, layers: int = 3, norm: NormFactory = InstanceNorm) -> None:
        super().__init__()
        self.layers = patch_layers(spec.channels, width, layers, norm)
        if min(spec.height, spec.width) >> layers < 3:
            side = 3 << layers
            got = f"discriminator.layers is {layers} for pictures of {spec.height}x{spec.width} pixels"
            raise UserError(f"{got}: want fewer, or {side} pixels")


@final
class WholeDomainDiscriminator(_Unconditional):
    """Says of a picture as a whole whether it is a real one of a domain.

    Args:
        spec: of the images; of 8 pixels or more.
        width: channels of the first layer, doubled at each up to eight times.
        norm: called with (channels, 0), of the middle layers.
    """

    def __init__(self, spec: ImageSpec, width: int = 64, norm: NormFactory = InstanceNorm) -> None:
        super().__init__()
        self.layers = whole_layers(spec.channels, spec.height, spec.width, width, norm)
