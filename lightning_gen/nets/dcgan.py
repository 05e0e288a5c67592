"""DCGAN networks (Radford et al. 2016), sized from the image spec: 8x8 to 64x64 and beyond."""

from torch import Tensor, nn

from lightning_gen.images import ImageSpec

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "halvings"]


def halvings(size: int) -> int:
    """How often a side can be halved before it reaches 4 to 7 pixels or an odd number."""
    count = 0
    while size % 2 == 0 and size > 4:
        size, count = size // 2, count + 1
    return count


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class DCGANGenerator(nn.Module):
    """z (B, Z) -> signed image (B, C, H, W) in [-1, 1].

    Args:
        spec: of the images.
        latent_dim: Z.
        width: channels at full resolution; doubled at each coarser one.
    """

    def __init__(self, spec: ImageSpec, latent_dim: int, width: int = 64) -> None:
        super().__init__()
        stages = min(halvings(spec.height), halvings(spec.width))
        channels = width * 2**stages
        start = (spec.height >> stages, spec.width >> stages)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent_dim, channels, start, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        for _ in range(stages):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(channels // 2),
                nn.ReLU(),
            ]
            channels //= 2
        layers += [nn.Conv2d(channels, spec.channels, 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers).apply(_init)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z[:, :, None, None])


class DCGANDiscriminator(nn.Module):
    """Signed image (B, C, H, W) -> logits (B,).

    Args:
        spec: of the images.
        width: channels at the finest resolution; doubled at each coarser one.
    """

    def __init__(self, spec: ImageSpec, width: int = 64) -> None:
        super().__init__()
        stages = min(halvings(spec.height), halvings(spec.width))
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        for i in range(stages):
            layers += [
                nn.Conv2d(width << i, width << (i + 1), 4, 2, 1, bias=False),
                nn.BatchNorm2d(width << (i + 1)),
                nn.LeakyReLU(0.2),
            ]
        layers += [nn.Conv2d(width << stages, 1, (spec.height >> stages, spec.width >> stages))]
        self.layers = nn.Sequential(*layers).apply(_init)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten()
