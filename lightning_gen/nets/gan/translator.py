"""The generator of CycleGAN and CUT (Zhu et al. 2017, Section 4; Johnson et al. 2016): residual blocks between halvings
and doublings of the resolution."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.patch import NormFactory, init_normal
from lightning_gen.nets.layers.norms import InstanceNorm

__all__ = [
    "AddedOutput",
    "FeatureTranslator",
    "PaintedOutput",
    "ResNetTranslator",
    "ResizeConvolution",
    "TransposedConvolution",
]


@final
class ResizeConvolution(nn.Module):
    """(B, into, H, W) -> (B, out, 2H, 2W): the nearest pixel, then a convolution. It leaves no checkerboard (Odena et
    al. 2016).

    Args:
        into: channels.
        out: channels.
    """

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.layers = nn.Sequential(enlarge, nn.Conv2d(into, out, 3, padding=1, padding_mode="reflect"))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@final
class TransposedConvolution(nn.Module):
    """(B, into, H, W) -> (B, out, 2H, 2W): a transposed convolution, as in the paper.

    Args:
        into: channels.
        out: channels.
    """

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(into, out, 3, 2, 1, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


@final
class PaintedOutput(nn.Module):
    """The image is tanh(h), as in the paper."""

    def forward(self, h: Tensor, source: Tensor) -> Tensor:
        return h.tanh()


@final
class AddedOutput(nn.Module):
    """The image is the source plus 2 tanh(h): a network that is to change little need not paint the rest anew, and the
    level of flat areas is kept, which norms take away. Source and image have the same channels. Values may lie outside
    -1..1; they are clamped in use."""

    def forward(self, h: Tensor, source: Tensor) -> Tensor:
        return source + 2.0 * h.tanh()


class FeatureTranslator(nn.Module, ABC):
    """A generator from images to images whose own features can be compared (Park et al. 2020, Section 3)."""

    #: channels of each of the features
    feature_channels: tuple[int, ...]

    @abstractmethod
    def forward(self, source: Tensor) -> Tensor:
        """Signed sources (B, C', H, W) -> signed images (B, C, H, W)."""

    @abstractmethod
    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the features of the encoder alone, (B, K, h, w) each, of signed images (B, C', H, W)."""

    @abstractmethod
    def with_features(self, source: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Do both in one pass: images as `forward`, features as `features` of the sources."""


class _Residual(nn.Module):
    """x + conv, norm, ReLU, conv, norm; nothing after the sum."""

    def __init__(self, channels: int, norm: NormFactory) -> None:
        super().__init__()
        first, second = (_conv(channels, channels, 3) for _ in range(2))
        self.layers = nn.Sequential(first, norm(channels, 0), nn.ReLU(), second, norm(channels, 0))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _conv(into: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    # Reflection: zeros would be seen as a frame.
    return nn.Conv2d(into, out, kernel, stride, kernel // 2, padding_mode="reflect")


@final
class ResNetTranslator(FeatureTranslator):
    """Signed sources (B, C', H, W) -> signed images (B, C, H, W) in [-1, 1], of any size: sides that are no multiple of
    2^halvings are padded by their edge and cut back.

    Norms are per picture. The features of CUT are the pixels, the
    outputs of the halving convolutions, and those of the first and the middle residual block: with 2 halvings and 9
    blocks the layers 0, 4, 8, 12 and 16 of its code, whose anti-aliasing filters are left out.

    Args:
        spec: of the images; with a source of the same height and width.
        width: channels at full resolution, doubled at each halving.
        blocks: residual blocks; 6 for 128 pixels, 9 for 256 in the paper.
        halvings: of the resolution, 0 to 8; 2 in the paper, fewer for pictures whose details are pixels.
        enlarge: called with (channels, channels), doubles the resolution.
        norm: called with (channels, 0); independent of the batch.
        output: makes the image of what the last convolution gives, and of the source.

    Raises:
        UserError: the images have no source, one of another size, or sides below 2^(halvings + 1) pixels; `AddedOutput`
            where it has other channels.
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 64,
        blocks: int = 9,
        halvings: int = 2,
        enlarge: Callable[[int, int], nn.Module] = ResizeConvolution,
        norm: NormFactory = InstanceNorm,
        output: Callable[[], nn.Module] = PaintedOutput,
    ) -> None:
        super().__init__()
        check_counts("generator", limit=1024, width=width, blocks=blocks)
        if not 0 <= halvings <= 8:
            raise UserError(f"generator.halvings is {halvings}: want 0 to 8")
        if spec.source is None or spec.source.shape[1:] != spec.shape[1:]:
            wanted = f"ResNetTranslator wants one of {spec.height}x{spec.width} pixels"
            raise UserError(f"data has the source {spec.source}: {wanted}")
        if min(spec.shape[1:]) < 2 << halvings:
            wanted = f"ResNetTranslator of {halvings} halvings wants {2 << halvings} or more"
            raise UserError(f"data has pictures of {spec.height}x{spec.width} pixels: {wanted}")
        self.begin = nn.Sequential(_conv(spec.source.channels, width, 7), norm(width, 0), nn.ReLU())
        deep = width << halvings
        self.halve = nn.ModuleList(_conv(width << i, width << (i + 1), 3, 2) for i in range(halvings))
        self.halved = nn.ModuleList(nn.Sequential(norm(width << i + 1, 0), nn.ReLU()) for i in range(halvings))
        self.blocks = nn.ModuleList(_Residual(deep, norm) for _ in range(blocks))
        doubled: list[nn.Module] = []
        for out in (width << i for i in reversed(range(halvings))):
            doubled += [enlarge(2 * out, out), norm(out, 0), nn.ReLU()]
        self.end = nn.Sequential(*doubled, nn.Conv2d(width, spec.channels, 7, padding=3, padding_mode="reflect"))
        self.output = output()
        if isinstance(self.output, AddedOutput) and spec.source.channels != spec.channels:
            got = f"data has sources of {spec.source.channels} channels and images of {spec.channels}"
            raise UserError(f"{got}: AddedOutput wants equal channels, want PaintedOutput")
        self.apply(init_normal)
        self.feature_channels = (spec.source.channels, *(width << i + 1 for i in range(halvings)), deep, deep)

    def forward(self, source: Tensor) -> Tensor:
        return self.with_features(source)[0]

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        return self._encode(x)[1]

    def with_features(self, source: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        height, width = source.shape[2:]
        h, features = self._encode(source)
        for block in self.blocks[len(self.blocks) // 2 + 1 :]:  # type: ignore[index]
            h = block(h)
        return self.output(self.end(h)[:, :, :height, :width], source), features

    def _encode(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Go up to the middle block: its output, and the features on the way."""
        multiple = 1 << len(self.halve)
        h = self.begin(pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple), mode="replicate"))
        found = [x]
        for conv, after in zip(self.halve, self.halved, strict=True):
            found.append(conv(h))
            h = after(found[-1])
        middle = len(self.blocks) // 2
        for i in range(middle + 1):
            h = self.blocks[i](h)
            if i in (0, middle):
                found.append(h)
        return h, tuple(found if middle else [*found, h])
