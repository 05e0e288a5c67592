"""How the small picture of a super-resolution pair comes about.

Bicubic     antialiased bicubic, the literature's own: MATLAB's imresize bit for bit
Blur, Noise, Jpeg     what cameras and files add, of random strength
Chain       one after the other, as in Real-ESRGAN (Wang et al. 2021, Section 3)
"""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, pad

from lightning_gen.data.augment import Draws
from lightning_gen.errors import UserError, check_counts
from lightning_gen.resampling import Method, resample_levels

__all__ = ["Bicubic", "Blur", "Chain", "Degradation", "Jpeg", "Noise"]


class Degradation(ABC):
    """A change of pictures to smaller or worse ones; its random numbers are a function of `Draws` alone."""

    #: pixels of the image per pixel of the source, along each side
    scale: int = 1
    #: pixels of the image around a pixel, beyond which it makes no difference to that of the source
    reach: int = 0

    @abstractmethod
    def __call__(self, image: Tensor, levels: int, draws: Draws) -> Tensor:
        """uint8 (B, C, H, W), values 0..levels-1, sides multiples of `scale` -> uint8 (B, C, H / scale, W / scale)."""

    def __str__(self) -> str:
        """Say all that tells it from others: part of the identity of every number."""
        values = (f"{key} {_words(value)}" for key, value in vars(self).items() if key != "reach")
        return " ".join([type(self).__name__, *values])


def _words(value: Any) -> str:
    return f"{value[0]} to {value[1]}" if isinstance(value, tuple) else str(value)


@final
class Bicubic(Degradation):
    """Shrinks by a bicubic filter (Keys 1981, a = -0.5) that is widened by the scale, as MATLAB's imresize does.

    Args:
        scale: 1 to 16; 1 leaves pictures as they are.
    """

    def __init__(self, scale: int = 4) -> None:
        check_counts("data.degradation", limit=16, scale=scale)
        self.scale, self.reach = scale, 2 * scale

    method: Method = "bicubic"

    def __call__(self, image: Tensor, levels: int, draws: Draws) -> Tensor:
        size = image.shape[2] // self.scale, image.shape[3] // self.scale
        return resample_levels(image, size, levels, self.method)


def _between(low: float, high: float, draws: Draws) -> Tensor:
    """(B,) numbers, uniform between two."""
    return low + (high - low) * draws.integers(1 << 20).double() / (1 << 20)


def _check_range(name: str, pair: Sequence[float], least: float, most: float) -> tuple[float, float]:
    if len(pair) != 2 or not least <= pair[0] <= pair[1] <= most:
        raise UserError(
            f"data.degradation.{name} is {list(pair)}: want two numbers, {least} to {most}, the lower first"
        )
    return float(pair[0]), float(pair[1])


@final
class Blur(Degradation):
    """Blurs each picture by a Gaussian of its own width.

    Args:
        sigma: least and largest standard deviation, pixels, 0.1 to 10.
    """

    def __init__(self, sigma: Sequence[float] = (0.2, 2.0)) -> None:
        self.sigma = _check_range("sigma", sigma, 0.1, 10.0)
        self.reach = math.ceil(3 * self.sigma[1])

    def __call__(self, image: Tensor, levels: int, draws: Draws) -> Tensor:
        place = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64)
        kernel = (-0.5 * (place / _between(*self.sigma, draws)[:, None]) ** 2).exp()  # (B, K)
        kernel = (kernel / kernel.sum(1, keepdim=True)).float()[:, None].repeat_interleave(image.shape[1], 0)
        x = image.float().flatten(0, 1)[None]  # (1, B*C, H, W)
        around = pad(x, (self.reach,) * 4, mode="replicate")
        down = conv2d(around, kernel[:, :, :, None], groups=len(kernel))
        x = conv2d(down, kernel[:, :, None], groups=len(kernel))
        return x[0].unflatten(0, image.shape[:2]).round().clamp(0, levels - 1).to(torch.uint8)


@final
class Noise(Degradation):
    """Adds Gaussian noise of a strength of its own to each picture, independent in each value.

    Args:
        sigma: least and largest standard deviation, in 1/255 of the range, 0 to 100.
    """

    def __init__(self, sigma: Sequence[float] = (1.0, 15.0)) -> None:
        self.sigma = _check_range("sigma", sigma, 0.0, 100.0)

    def __call__(self, image: Tensor, levels: int, draws: Draws) -> Tensor:
        strength = _between(*self.sigma, draws) * (levels - 1) / 255
        seeds = draws.integers((1 << 31) - 1).tolist()
        noise = torch.stack(
            [torch.randn(image.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )
        noisy = image.float() + strength.float()[:, None, None, None] * noise
        return noisy.round().clamp(0, levels - 1).to(torch.uint8)


@final
class Jpeg(Degradation):
    """Writes and reads each picture as JPEG of a quality of its own.

    Args:
        quality: lowest and highest, whole numbers, 1 to 95.
    """

    def __init__(self, quality: Sequence[int] = (30, 95)) -> None:
        low, high = _check_range("quality", quality, 1, 95)
        self.quality = int(low), int(high)
        self.reach = 16  # blocks of 8, of which those of the colours are twice as wide

    def __call__(self, image: Tensor, levels: int, draws: Draws) -> Tensor:
        if levels != 256 or image.shape[1] not in (1, 3):
            raise UserError(f"data has {image.shape[1]} channels of {levels} levels: Jpeg wants 1 or 3 of 256")
        qualities = self.quality[0] + draws.integers(self.quality[1] - self.quality[0] + 1)
        return torch.stack([_through_jpeg(x, int(q)) for x, q in zip(image, qualities, strict=True)])


def _through_jpeg(picture: Tensor, quality: int) -> Tensor:
    """uint8 (C, H, W) -> the same."""
    pixels, stream = picture.permute(1, 2, 0).contiguous().numpy(), io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(stream, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(stream)).reshape(pixels.shape)).permute(2, 0, 1)


@final
class Chain(Degradation):
    """One degradation after the other.

    Args:
        steps: in order, one or more.
    """

    def __init__(self, steps: Sequence[Degradation]) -> None:
        if not steps:
            raise UserError("data.degradation.steps is empty: want one or more")
        self.steps = list(steps)
        self.scale, self.reach = 1, 0
        for step in self.steps:
            self.reach += self.scale * step.reach
            self.scale *= step.scale

    def __call__(self, image: Tensor, levels: int, draws: Draws) -> Tensor:
        for step in self.steps:
            image = step(image, levels, draws)
        return image

    def __str__(self) -> str:
        return ", then ".join(map(str, self.steps))
