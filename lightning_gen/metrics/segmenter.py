"""A network that reads label maps off pictures: what an output of labels -> photo must show is what it is asked for."""

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import final

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, pad

from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.metrics.extractors import minimise, repeatable, weights_hash

__all__ = ["Segmenter", "UNetSegmenter", "fit_segmenter"]

#: pixels of the patches and pairs in a batch that it learns from
_PATCH, _BATCH = 64, 8


class Segmenter(nn.Module, ABC):
    """Signed images (B, C, H, W) -> class scores (B, K, H, W).

    Args:
        spec: of the images.
        classes: K, of the label map.
        steps: batches that it learns from.
    """

    def __init__(self, spec: ImageSpec, classes: int, steps: int) -> None:
        super().__init__()
        check_counts("segmenter", steps=steps)
        self.spec, self.classes, self.steps = spec, classes, steps

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Signed (B, C, H, W) -> (B, K, H, W)."""

    def segment(self, image: Tensor) -> Tensor:
        """uint8 (B, C, H, W) -> the likeliest class of each pixel, int64 (B, H, W)."""
        return self(to_signed(image, self.spec.levels)).argmax(1)

    @property
    def label(self) -> str:
        """``segmenter-hash8``: what the names of its numbers end with."""
        return f"segmenter-{weights_hash(self)}"


@final
class UNetSegmenter(Segmenter):
    """A small U with two halvings.

    Args:
        spec: of the images.
        classes: K, of the label map.
        width: channels at full resolution.
        steps: batches that it learns from.
    """

    def __init__(self, spec: ImageSpec, classes: int, width: int = 16, steps: int = 800) -> None:
        super().__init__(spec, classes, steps)
        check_counts("segmenter", width=width)
        self.first = _block(spec.channels, width)
        self.second = _block(width, 2 * width, 2)
        self.third = nn.Sequential(_block(2 * width, 4 * width, 2), _block(4 * width, 4 * width))
        self.up_second = _block(6 * width, 2 * width)
        self.up_first = _block(3 * width, width)
        self.scores = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        first = self.first(pad(x, (0, -width % 4, 0, -height % 4), mode="replicate"))
        second = self.second(first)
        low = self.up_second(torch.cat([interpolate(self.third(second), scale_factor=2.0), second], 1))
        whole = self.up_first(torch.cat([interpolate(low, scale_factor=2.0), first], 1))
        return self.scores(whole)[:, :, :height, :width]


def _block(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


def fit_segmenter(net: Segmenter, image: Tensor, classes: Tensor) -> Segmenter:
    """Train a segmenter on patches of real pictures, flipped at random and with a little noise: the same weights for
    the same data on the same machine, in one thread, with seeds of its own.

    Args:
        net: of convolutions and batch norms; its shape is kept, its weights are not.
        image: uint8 (N, C, H, W).
        classes: int64 (N, H, W), 0..K-1.
    """
    chance = Generator().manual_seed(0)
    with repeatable():
        net = deepcopy(net).train().requires_grad_(True)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                module.reset_parameters()

        def loss() -> Tensor:
            x, target = _patches(image, classes, net.spec, chance)
            return cross_entropy(net(x), target)

        minimise(net, loss, 3e-3, net.steps)
    return net.eval().requires_grad_(False)


def _patches(image: Tensor, classes: Tensor, spec: ImageSpec, chance: Generator) -> tuple[Tensor, Tensor]:
    """A batch of signed patches (B, C, h, w) and their classes (B, h, w)."""
    height, width = image.shape[2:]
    high, wide = min(height, _PATCH), min(width, _PATCH)
    pictures, maps = [], []
    for index in torch.randint(len(image), (_BATCH,), generator=chance).tolist():
        top = int(torch.randint(height - high + 1, (), generator=chance))
        left = int(torch.randint(width - wide + 1, (), generator=chance))
        place = (..., slice(top, top + high), slice(left, left + wide))
        x, target = image[index][place], classes[index][place]
        if torch.rand((), generator=chance) < 0.5:
            x, target = x.flip(-1), target.flip(-1)
        pictures.append(x)
        maps.append(target)
    x = to_signed(torch.stack(pictures), spec.levels)
    strength = 0.2 * torch.rand(_BATCH, 1, 1, 1, generator=chance)
    return x + strength * torch.randn(x.shape, generator=chance), torch.stack(maps)
