"""The residual networks of WGAN-GP (Gulrajani et al. 2017, Appendix F) and SN-GAN (Miyato et al. 2018, Tables 4-5), for
32x32, 64x64 and what else can be halved."""

import math
from collections.abc import Callable
from typing import final

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, halvings
from lightning_gen.nets.gan.discriminator import Head, HeadedDiscriminator, LinearHead
from lightning_gen.nets.layers.norms import BatchNorm, Norm

__all__ = ["ResNetDiscriminator", "ResNetGenerator"]


def _conv(into: int, out: int, size: int = 3, gain: float = math.sqrt(2.0)) -> nn.Conv2d:
    conv = nn.Conv2d(into, out, size, padding=size // 2)
    nn.init.xavier_uniform_(conv.weight, gain)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


class _UpBlock(nn.Module):
    """Twice the resolution, by nearest neighbours."""

    def __init__(self, into: int, out: int, features: int, norm: Callable[[int, int], Norm]) -> None:
        super().__init__()
        self.first_norm, self.second_norm = norm(into, features), norm(out, features)
        self.first, self.second, self.shortcut = _conv(into, out), _conv(out, out), _conv(into, out, 1, 1.0)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        h = self.first(interpolate(relu(self.first_norm(x, context)), scale_factor=2.0))
        h = self.second(relu(self.second_norm(h, context)))
        # A 1x1 convolution commutes with copying pixels, and is four times as cheap before it.
        return h + interpolate(self.shortcut(x), scale_factor=2.0)


@final
class ResNetGenerator(nn.Module):
    """z (B, Z) and a context (B, K) or None -> signed image (B, C, H, W) in [-1, 1]; the context reaches the norms.

    Args:
        spec: of the images.
        latent_dim: Z.
        features: K, 0 where there is no context.
        width: channels at every resolution (256 in the paper for 32x32).
        norm: called with (channels, K).

    Raises:
        UserError: there is a context, and `norm` does not use it.
    """

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        features: int = 0,
        width: int = 256,
        norm: Callable[[int, int], Norm] = BatchNorm,
    ) -> None:
        super().__init__()
        stages = halvings(spec)
        start = (width, spec.height >> stages, spec.width >> stages)
        self.start = nn.Sequential(nn.Linear(latent_dim, math.prod(start)), nn.Unflatten(1, start))
        self.blocks = nn.ModuleList([_UpBlock(width, width, features, norm) for _ in range(stages)])
        self.norm = norm(width, features)
        if features and not self.norm.conditional:
            name = type(self.norm).__name__
            raise UserError(f"generator.norm is {name}, which sees no condition: want ConditionalBatchNorm")
        self.to_image = _conv(width, spec.channels, 3, 1.0)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        x = self.start(z)
        for block in self.blocks:
            x = block(x, context)
        return self.to_image(relu(self.norm(x, context))).tanh()


class _DownBlock(nn.Module):
    """Half the resolution, or the same; the first block of all sees the image itself, so it begins without ReLU."""

    def __init__(self, into: int, out: int, down: bool, first: bool = False) -> None:
        super().__init__()
        self.down, self.begin = down, nn.Identity() if first else nn.ReLU()
        self.first, self.second = _conv(into, out), _conv(out, out)
        self.shortcut = _conv(into, out, 1, 1.0) if down or into != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.second(relu(self.first(self.begin(x))))
        if not self.down:
            return h + self.shortcut(x)
        return avg_pool2d(h, 2) + self.shortcut(avg_pool2d(x, 2))  # a 1x1 convolution commutes with the mean


@final
class ResNetDiscriminator(HeadedDiscriminator):
    """Blocks down to 8 pixels, or 4 for smaller images, two more at that resolution, the sum over pixels; no norms.

    Args:
        spec: of the images.
        width: channels (128 in the paper for 32x32).
        head: called with (spec, features).
    """

    def __init__(self, spec: ImageSpec, width: int = 128, head: Callable[[ImageSpec, int], Head] = LinearHead) -> None:
        super().__init__(spec, width, head)
        stages = halvings(spec)
        downs = max(1, stages - 1)
        blocks = [_DownBlock(spec.channels, width, stages > 0, first=True)]
        blocks += [_DownBlock(width, width, i < downs - 1) for i in range(downs + 1)]
        self.blocks = nn.Sequential(*blocks)

    def embed(self, x: Tensor) -> Tensor:
        return relu(self.blocks(x)).sum((2, 3))
