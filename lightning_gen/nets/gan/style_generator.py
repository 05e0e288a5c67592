"""The generator of StyleGAN2 (Karras et al. 2020a, Figure 2 and Section 4.1): a mapping from noise to styles, and a
synthesis network whose images are summed over resolutions."""

from itertools import pairwise
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec, halvings
from lightning_gen.nets.gan.filters import spread
from lightning_gen.nets.gan.style_layers import (
    GAIN,
    EqualLinear,
    ModulatedConv2d,
    activate,
    blur_filter,
    leaky,
    normalized,
    widths,
)
from lightning_gen.precision import at_least_float32, full_precision

__all__ = ["Mapping", "StyleGenerator", "Synthesis"]


@final
class Mapping(nn.Module):
    """Noise z (B, Z) and a context (B, K) or None -> style w (B, W): fully connected layers that learn slowly. Both
    inputs are normalised; the context is brought to W numbers first.

    Args:
        latent_dim: Z, 0 where there is no noise.
        features: K, 0 where there is no context.
        style: W.
        layers: 1 or more (8 in the paper; 2 for small sets, Karras et al. 2020b).
    """

    def __init__(self, latent_dim: int, features: int, style: int, layers: int) -> None:
        super().__init__()
        self.embed = EqualLinear(features, style) if features else None
        into = latent_dim + (style if features else 0)
        sizes = [into] + [style] * layers
        self.layers = nn.ModuleList(EqualLinear(a, b, rate=0.01) for a, b in pairwise(sizes))

    def forward(self, z: Tensor | None, context: Tensor | None = None) -> Tensor:
        parts = [] if z is None else [normalized(z)]
        if self.embed is not None and context is not None:
            parts.append(normalized(self.embed(context)))
        w = torch.cat(parts, 1)
        for layer in self.layers:
            w = activate(layer(w))
        return w


@final
class _Layer(nn.Module):
    """Modulated convolution, noise, bias, activation.

    Args:
        into: channels.
        out: channels.
        style: length of w.
        size: (H, W) of the result.
        up: double the resolution.
    """

    fixed: Tensor

    def __init__(self, into: int, out: int, style: int, size: tuple[int, int], up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(into, out, style, 3, up)
        self.strength, self.bias = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(out))
        self.register_buffer("fixed", torch.randn(1, 1, *size))

    def forward(self, x: Tensor, w: Tensor, drawn: bool, source: Generator | None) -> Tensor:
        x, norm = self.conv.parts(x, w)
        noise = self._noise(len(x), source) if drawn else self.fixed  # one map for all channels
        noise, bias = GAIN * self.strength * noise, GAIN * self.bias[:, None, None]
        assert norm is not None
        # The gain is in all three terms, and noise comes with the scaling: each pass over an image costs.
        return leaky(torch.addcmul(noise.to(x.dtype), x, GAIN * norm) + bias.to(x.dtype))

    def _noise(self, count: int, source: Generator | None) -> Tensor:
        device = self.fixed.device if source is None else source.device
        shape = (count, 1, *self.fixed.shape[2:])
        return torch.randn(shape, generator=source, device=device).to(self.fixed.device)


@final
class _ToImage(nn.Module):
    """A modulated 1x1 convolution without demodulation, and a bias."""

    def __init__(self, into: int, channels: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(into, channels, style, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.conv(x, w) + self.bias[:, None, None].to(x.dtype)


@final
class Synthesis(nn.Module):
    """Styles (B, L, W) -> signed images (B, C, H, W), not squashed.

    From a learned constant of the coarsest resolution, each finer one adds to the image of the one before. Layer by
    layer: two convolutions per resolution, one at the coarsest, and the last image layer, L = 2 * resolutions; an image
    layer shares its style with the next convolution.

    Args:
        spec: of the images; both sides are halved as long as they are even and above 4.
        style: W.
        width: channels at full resolution; doubled at each coarser one.
        most: channels at most.
    """

    kernel: Tensor

    def __init__(self, spec: ImageSpec, style: int, width: int, most: int) -> None:
        super().__init__()
        count = halvings(spec) + 1
        channels = widths(width, most, count)[::-1]
        sizes = [(spec.height >> i, spec.width >> i) for i in reversed(range(count))]
        self.constant = nn.Parameter(torch.randn(channels[0], *sizes[0]))
        self.layers, self.images = nn.ModuleList(), nn.ModuleList()
        for i, (size, out) in enumerate(zip(sizes, channels, strict=True)):
            if i:
                self.layers.append(_Layer(channels[i - 1], out, style, size, up=True))
            self.layers.append(_Layer(out, out, style, size, up=False))
            self.images.append(_ToImage(out, spec.channels, style))
        self.register_buffer("kernel", blur_filter(), persistent=False)

    @property
    def count(self) -> int:
        """L, number of styles of an image."""
        return len(self.layers) + 1

    def forward(self, w: Tensor, drawn: bool = False, source: Generator | None = None) -> Tensor:
        """Generate images.

        Args:
            w: (B, L, W).
            drawn: draw noise for each image; else each layer adds the same noise each time.
            source: of the noise that is drawn.
        """
        layers, place = iter(self.layers), 0
        x, image = self.constant.expand(len(w), -1, -1, -1), None
        for i, to_image in enumerate(self.images):
            for _ in range(2 if i else 1):
                x, place = next(layers)(x, w[:, place], drawn, source), place + 1
            own = at_least_float32(to_image(x, w[:, place]))  # 16 bits are fewer than the levels of a picture
            image = own if image is None else self._doubled(image) + own
        assert image is not None
        return image

    def _doubled(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W): zeros in between, then the filter with gain 4."""
        size = (2 * image.shape[2], 2 * image.shape[3])
        with full_precision(image):
            return spread(image, 4.0 * self.kernel, padding=1, stride=2, size=size)


@final
class StyleGenerator(nn.Module):
    """z (B, Z) and a context (B, K) or None -> signed image (B, C, H, W); noise is drawn in training, else fixed.

    Args:
        spec: of the images.
        latent_dim: Z.
        features: K, 0 where there is no context.
        style: W, 1 or more.
        layers: of the mapping, 1 or more.
        width: see `Synthesis`, as is `most`; 1 or more.
        most: channels at most.
    """

    w_mean: Tensor

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        features: int = 0,
        style: int = 512,
        layers: int = 8,
        width: int = 64,
        most: int = 512,
    ) -> None:
        check_counts("generator", style=style, layers=layers, width=width, most=most)
        super().__init__()
        self.style = style
        self.mapping = Mapping(latent_dim, features, style, layers)
        self.synthesis = Synthesis(spec, style, width, most)
        #: moving mean of w, towards which truncation goes
        self.register_buffer("w_mean", torch.zeros(style))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.synthesis(self.everywhere(self.mapping(z, context)), drawn=self.training)

    def everywhere(self, w: Tensor) -> Tensor:
        """(B, W) -> (B, L, W), the same style at every layer."""
        return w[:, None].expand(-1, self.synthesis.count, -1)

    @torch.no_grad()
    def track(self, w: Tensor, decay: float = 0.995) -> None:
        """Take the mean of w (B, W) into the moving mean."""
        self.w_mean.lerp_(w.detach().float().mean(0), 1 - decay)
