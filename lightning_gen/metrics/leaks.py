"""Whether augmentations of what a discriminator sees have leaked into what the generator makes."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.metrics.extractors import Classifier, minimise, repeatable

__all__ = ["Leak", "leak"]

#: a leak of this share is looked for
_SHARE = 0.3
#: samples that a probe tells from real and augmented ones together more often than this are neither: a perfect set
#: that has leaked entirely is told in 3 of 4 cases
_POOR = 0.9

#: n -> n images, uint8
Draw = Callable[[int], Tensor]


class Leak(NamedTuple):
    """What probes say of images, shares of 0 to 1.

    Args:
        real: share of real images that is taken for augmented.
        augmented: of augmented real ones.
        generated: of generated ones.
        once: how often a probe is right that tells real images from augmented ones.
        twice: that tells augmented real ones from those augmented once more.
        again: that tells generated ones from those augmented.
        apart: that tells generated ones from a mixture of real and augmented ones.
        images: number of generated images behind `again`.
        reals: number of real images behind `once` and `twice`.
    """

    real: float
    augmented: float
    generated: float
    once: float
    twice: float
    again: float
    apart: float
    images: int
    reals: int

    @property
    def look(self) -> float:
        """Where generated images lie between real ones, 0, and augmented ones, 1. What is wrong with poor samples looks
        augmented too."""
        return (self.generated - self.real) / max(self.augmented - self.real, 1e-6)

    @property
    def change(self) -> float:
        """Where generated images lie between real ones, which augmentation changes visibly, 0, and those that it has
        changed before, 1. Their quality counts little, for they are compared with themselves."""
        return (self.once - self.again) / max(self.once - self.twice, 1e-6)

    @property
    def error(self) -> float:
        """Standard error of `change`."""
        read = 1 / self.images + 2 / self.reals  # both kinds of each are read
        return math.sqrt(0.125 * read) / max(self.once - self.twice, 1e-6)

    @property
    def verdict(self) -> str:
        """``leaks``, ``no leak``, or ``cannot tell`` and why: an answer wants both measures to agree, and controls that
        are clean."""
        if 2 * self.error > _SHARE:
            return "cannot tell: probes hardly tell images augmented once from those augmented twice"
        if self.apart > _POOR:
            return "cannot tell: samples are too far from real images, augmented or not"
        if max(self.look, self.change) < _SHARE:
            return "no leak"
        return "leaks" if min(self.look, self.change) >= _SHARE else "cannot tell: the two measures disagree"


def leak(
    real: Tensor, generated: Tensor, augment: Callable[[Tensor], Tensor], spec: ImageSpec, steps: int = 300
) -> Leak:
    """Train probes that tell images from augmented ones, on every second image, and ask them about the others.

    Two measures: whether generated images look augmented to a probe that knows real ones; and whether augmenting
    changes them less than it changes real ones, as it does with what has been augmented before.

    Args:
        real: uint8 (N, C, H, W).
        generated: uint8 (M, C, H, W).
        augment: of signed images, at random.
        spec: of the images.
        steps: batches that each probe learns from.
    """

    def changed(image: Tensor) -> Tensor:
        return from_signed(augment(to_signed(image, spec.levels)).clamp(-1, 1), spec.levels)

    def mixed(image: Tensor) -> Tensor:
        half = len(image) // 2
        return torch.cat([image[:half], changed(image[half:])])

    def told(zero: Tensor, one: Tensor, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]) -> _Told:
        """Tell zero, after `before`, from one, after `after`."""
        net = _probe(
            lambda n: before(_some(zero[::2], n, chance)), lambda n: after(_some(one[::2], n, chance)), spec, steps
        )
        wrong, right = _share(net, before(zero[1::2])), _share(net, after(one[1::2]))
        return _Told(net, wrong, right, (1 - wrong + right) / 2)

    chance = Generator().manual_seed(0)
    with repeatable():
        once = told(real, real, _same, changed)
        twice = told(real, real, changed, lambda image: changed(changed(image)))
        again = told(generated, generated, _same, changed)
        apart = told(real, generated, mixed, _same)
        seen = _share(once.net, generated)
    counts = len(generated) // 2, len(real) // 2
    return Leak(once.wrong, once.right, seen, once.share, twice.share, again.share, apart.share, *counts)


class _Told(NamedTuple):
    """A probe; the share of the first images that it takes for the second, that of the second, and how often it is
    right."""

    net: Classifier
    wrong: float
    right: float
    share: float


def _same(image: Tensor) -> Tensor:
    return image


def _some(image: Tensor, n: int, chance: Generator) -> Tensor:
    return image[torch.randint(len(image), (n,), generator=chance)]


def _probe(zero: Draw, one: Draw, spec: ImageSpec, steps: int) -> Classifier:
    """Train a small network to tell two kinds of images apart."""
    net = Classifier(ImageSpec(*spec.shape, spec.levels, classes=2), width=16)
    target = torch.arange(64) // 32

    def loss() -> Tensor:
        with torch.no_grad():
            image = torch.cat([zero(32), one(32)])
        return cross_entropy(net.logits(net(image)), target)

    minimise(net, loss, 5e-3, steps)
    return net.eval()


@torch.no_grad()
def _share(net: Classifier, image: Tensor) -> float:
    found = [net.logits(net(part)).argmax(1) for part in image.split(256)]
    return float(torch.cat(found).float().mean())
