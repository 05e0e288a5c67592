"""Convolutional encoder and decoder, sized from the image spec."""

from torch import Tensor, nn

from lightning_gen.images import ImageSpec
from lightning_gen.nets.dcgan import halvings

__all__ = ["ConvDecoder", "ConvEncoder"]


class ConvEncoder(nn.Module):
    """Signed image (B, C, H, W) -> features (B, features)."""

    def __init__(self, spec: ImageSpec, width: int = 32, features: int = 128) -> None:
        super().__init__()
        stages = min(halvings(spec.height), halvings(spec.width))
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1), nn.SiLU()]
        for i in range(stages):
            layers += [nn.Conv2d(width << i, width << (i + 1), 4, 2, 1), nn.SiLU()]
        flat = (width << stages) * (spec.height >> stages) * (spec.width >> stages)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, features), nn.SiLU())
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ConvDecoder(nn.Module):
    """z (B, Z) -> parameters of the likelihood (B, out, H, W)."""

    def __init__(self, spec: ImageSpec, latent_dim: int, out: int, width: int = 32) -> None:
        super().__init__()
        stages = min(halvings(spec.height), halvings(spec.width))
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
