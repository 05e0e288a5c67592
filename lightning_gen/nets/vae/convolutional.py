"""Encoders and decoders of vectors, sized from the image spec: convolutional and residual ones."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import final

from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, halvings

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "Encoder",
    "ResidualBlock",
    "ResidualDecoder",
    "ResidualEncoder",
]


class Encoder(nn.Module, ABC):
    """Signed image (B, C, H, W) -> features (B, F)."""

    #: F
    features: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """One row per image."""


@final
class ConvEncoder(Encoder):
    """Strided convolutions, channels doubled at each halving.

    Args:
        spec: of the images.
        width: channels at full resolution.
        features: F.
    """

    def __init__(self, spec: ImageSpec, width: int = 32, features: int = 128) -> None:
        super().__init__()
        stages = halvings(spec)
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1), nn.SiLU()]
        for i in range(stages):
            layers += [nn.Conv2d(width << i, width << (i + 1), 4, 2, 1), nn.SiLU()]
        flat = (width << stages) * (spec.height >> stages) * (spec.width >> stages)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, features), nn.SiLU())
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@final
class ConvDecoder(nn.Module):
    """z (B, Z) -> parameters of the likelihood (B, out, H, W), by transposed convolutions.

    Args:
        spec: of the images.
        latent_dim: Z.
        out: channels of the output.
        width: channels at full resolution, doubled at each coarser one.
    """

    def __init__(self, spec: ImageSpec, latent_dim: int, out: int, width: int = 32) -> None:
        super().__init__()
        stages = halvings(spec)
        top, height, columns = width << stages, spec.height >> stages, spec.width >> stages
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, top * height * columns),
            nn.SiLU(),
            nn.Unflatten(1, (top, height, columns)),
        ]
        for i in reversed(range(stages)):
            layers += [nn.ConvTranspose2d(width << (i + 1), width << i, 4, 2, 1), nn.SiLU()]
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, out, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


@final
class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))), 3x3; the identity at start (He et al. 2016b, without norms, for the density of an
    image must not depend on its batch).

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.act(self.first(self.act(x))))


def _residual(channels: int, blocks: int) -> Iterator[nn.Module]:
    if blocks < 1:
        raise UserError(f"blocks is {blocks}: want 1 or more")
    return (ResidualBlock(channels) for _ in range(blocks))


@final
class ResidualEncoder(Encoder):
    """`blocks` residual blocks at each resolution, strided convolutions between them.

    Args:
        spec: of the images.
        width: channels at full resolution, doubled at each coarser one.
        blocks: at each resolution, 1 or more.
        features: F.
    """

    def __init__(self, spec: ImageSpec, width: int = 16, blocks: int = 1, features: int = 128) -> None:
        super().__init__()
        stages = halvings(spec)
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1), *_residual(width, blocks)]
        for i in range(stages):
            layers += [nn.Conv2d(width << i, width << (i + 1), 4, 2, 1), *_residual(width << (i + 1), blocks)]
        flat = (width << stages) * (spec.height >> stages) * (spec.width >> stages)
        self.layers = nn.Sequential(*layers, nn.SiLU(), nn.Flatten(), nn.Linear(flat, features), nn.SiLU())
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@final
class ResidualDecoder(nn.Module):
    """z (B, Z) -> (B, out, H, W): the mirror image of `ResidualEncoder`.

    Args:
        spec: of the images.
        latent_dim: Z.
        out: channels of the output.
        width: channels at full resolution, doubled at each coarser one.
        blocks: at each resolution, 1 or more.
    """

    def __init__(self, spec: ImageSpec, latent_dim: int, out: int, width: int = 16, blocks: int = 1) -> None:
        super().__init__()
        stages = halvings(spec)
        top, height, columns = width << stages, spec.height >> stages, spec.width >> stages
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, top * height * columns),
            nn.Unflatten(1, (top, height, columns)),
            *_residual(top, blocks),
        ]
        for i in reversed(range(stages)):
            layers += [nn.ConvTranspose2d(width << (i + 1), width << i, 4, 2, 1), *_residual(width << i, blocks)]
        self.layers = nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(width, out, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)
