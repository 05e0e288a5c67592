"""The networks of a hierarchical VAE: a bottom-up path that computes features of an image scale by scale, and a
top-down path on which each layer draws latent variables given all layers above it (Sonderby et al. 2016, Figure 2d;
Child 2021, Figure 3)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec, halvings
from lightning_gen.nets.vae.convolutional import ResidualBlock
from lightning_gen.precision import at_least_float32

__all__ = ["Ladder"]

Size = tuple[int, int]


class _Layer(nn.Module):
    """One layer of latent variables on the top-down path.

    Args:
        width: channels of the top-down path.
        channels: latent variables per position.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        # the prior's mean and log-scale, and what of the layers above passes by the latent variables
        self.prior = nn.Sequential(ResidualBlock(width), nn.SiLU(), nn.Conv2d(width, 2 * channels + width, 1))
        self.posterior = nn.Sequential(
            nn.Conv2d(2 * width, width, 1), ResidualBlock(width), nn.SiLU(), nn.Conv2d(width, 2 * channels, 1)
        )
        self.back = nn.Conv2d(channels, width, 1)
        self.block = ResidualBlock(width)

    def _prior(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_scale, aside = self.prior(h).split([self.channels, self.channels, h.shape[1]], 1)
        return at_least_float32(mean), _bounded(at_least_float32(log_scale)), h + aside

    def infer(self, h: Tensor, features: Tensor, spread: float) -> tuple[Tensor, Tensor]:
        """Infer z: h and the features of the image (B, width, H, W) -> h below this layer, log q(z|x) - log p(z) (B,)
        nats; z is `spread` deviations wide around the posterior's mean, 1 for a draw."""
        mean, log_scale, rest = self._prior(h)
        own, own_log_scale = at_least_float32(self.posterior(torch.cat([h, features], 1))).chunk(2, 1)
        # relative to the prior: where the image says nothing, posterior and prior are one
        own, own_log_scale = mean + own, log_scale + _bounded(own_log_scale)
        noise = spread * torch.randn_like(mean)
        z = own + own_log_scale.exp() * noise
        distance = (z - mean) * (-log_scale).exp()
        kl = 0.5 * (distance.square() - noise.square()) + log_scale - own_log_scale
        return self.block(rest + self.back(z)), kl.flatten(1).sum(1)

    def generate(self, h: Tensor, noise: Tensor) -> Tensor:
        """h (B, width, H, W), noise (B, channels, H, W) -> h below this layer, z drawn from the prior."""
        mean, log_scale, rest = self._prior(h)
        return self.block(rest + self.back(mean + log_scale.exp() * noise))


def _bounded(log_scale: Tensor) -> Tensor:
    return 4.0 * torch.tanh(log_scale / 4.0)


# Not @final: the configuration library takes final classes that a factory returns apart into required arguments.
class Ladder(nn.Module):
    """Scales from a single position at the top to half the image's resolution, `layers` of latent variables at each.

    Args:
        spec: of the images; sides 4 or more.
        out: parameters per pixel.
        width: channels.
        layers: of latent variables at each scale, 1 or more.
        channels: latent variables per position and layer, 1 or more.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(self, spec: ImageSpec, out: int, width: int = 32, layers: int = 1, channels: int = 4) -> None:
        super().__init__()
        check_counts("net", layers=layers, channels=channels)
        count = halvings(spec)
        #: height and width of each scale, from fine to coarse
        self.sizes: list[Size] = [(spec.height >> i, spec.width >> i) for i in range(min(1, count), count + 1)]
        self.full, self.layers, self.channels = (spec.height, spec.width), layers, channels
        stride = 2 if count else 1
        self.stem = nn.Sequential(nn.Conv2d(spec.channels, width, 3, stride, 1), ResidualBlock(width))
        self.up = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 3, 2, 1), ResidualBlock(width)) for _ in self.sizes[1:]
        )
        coarse = self.sizes[-1]
        self.top_up = nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, coarse))
        self.top = nn.Parameter(torch.zeros(width, 1, 1))
        self.top_down = nn.ConvTranspose2d(width, width, coarse)
        self.sizes = [*self.sizes, (1, 1)]
        self.down = nn.ModuleList(_Layer(width, channels) for _ in self.sizes for _ in range(layers))
        self.head = nn.Sequential(ResidualBlock(width), nn.SiLU(), nn.Conv2d(width, out, 3, padding=1))

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """(channels, height, width) of the latent variables of each layer, from the top down."""
        return [(self.channels, *size) for size in reversed(self.sizes) for _ in range(self.layers)]

    def _features(self, x: Tensor) -> list[Tensor]:
        """One map (B, width, ...) per scale, from the top down."""
        found = [self.stem(x)]
        for up in self.up:
            found.append(up(found[-1]))
        found.append(self.top_up(found[-1]))
        return found[::-1]

    def _widen(self, h: Tensor, layer: int) -> Tensor:
        """h on the scale of `layer`."""
        size = self.shapes[layer][1:]
        if tuple(h.shape[2:]) == size:
            return h
        return self.top_down(h) if h.shape[2:] == (1, 1) else interpolate(h, size)

    def _image(self, h: Tensor) -> Tensor:
        return self.head(interpolate(h, self.full) if tuple(h.shape[2:]) != self.full else h)

    def forward(self, x: Tensor, spread: float = 1.0) -> tuple[Tensor, Tensor]:
        """Infer all layers: signed image (B, C, H, W) -> parameters (B, out, H, W), log q(z|x) - log p(z) (B, layers)
        nats, top first; of z = posterior's mean + `spread` * deviation * noise."""
        features = self._features(x)
        h, kl = self.top.expand(len(x), -1, -1, -1), []
        for i, layer in enumerate(self.down):
            assert isinstance(layer, _Layer)
            h, own = layer.infer(self._widen(h, i), features[i // self.layers], spread)
            kl.append(own)
        return self._image(h), torch.stack(kl, 1)

    def generate(self, noise: Tensor) -> Tensor:
        """Standard normal (B, sum of all `shapes`) -> parameters (B, out, H, W)."""
        h = self.top.expand(len(noise), -1, -1, -1)
        parts = noise.split([math.prod(shape) for shape in self.shapes], 1)
        for i, (layer, part) in enumerate(zip(self.down, parts, strict=True)):
            assert isinstance(layer, _Layer)
            h = layer.generate(self._widen(h, i), part.unflatten(1, self.shapes[i]))
        return self._image(h)
