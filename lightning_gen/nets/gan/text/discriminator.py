"""Discriminators that are given an image and the code of a text: does the text fit, and is the image real?

MatchingDiscriminator   one answer for both questions (StackGAN)
JointDiscriminator      an answer for each (StackGAN++)
ResidualDiscriminator   one answer, residual blocks without normalisation (DF-GAN)
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from lightning_gen.batches import Batch
from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.text.blocks import starting_side
from lightning_gen.nets.gan.text.heads import MatchingHead, ProductHead
from lightning_gen.nets.layers.last import LastConv2d
from lightning_gen.nets.text.encoder import TextEncoder

__all__ = ["JointDiscriminator", "Matcher", "MatchingDiscriminator", "ResidualDiscriminator", "TextDiscriminator"]

#: called with (channels, length of the code, height and width of the maps)
HeadFactory = Callable[[int, int, tuple[int, int]], MatchingHead]


class TextDiscriminator(nn.Module, ABC):
    """Images and codes of texts -> logits, higher for real images whose text fits."""

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Signed images (B, C, H, W) -> maps (B, F, h, w), which know nothing of a text."""

    @abstractmethod
    def match(self, maps: Tensor, code: Tensor) -> Tensor:
        """Maps and codes (B, K) -> logits (B,)."""

    @abstractmethod
    def compare(self, maps: Tensor, codes: Tensor) -> Tensor:
        """Maps of B images and codes (M, K) -> logits of all pairs, (B, M)."""

    def judge(self, maps: Tensor) -> Tensor | None:
        """Maps -> logits (B,) of the image alone; None where the network does not ask this."""
        return None

    @final
    def logits(self, x: Tensor, code: Tensor) -> Tensor:
        """Signed images (B, C, H, W) and codes (B, K) -> logits (B,)."""
        return self.match(self.embed(x), code)


@final
class Matcher(nn.Module):
    """The discriminators of all sizes of image, with the text encoder that they share.

    Args:
        text: of the texts; its own, as the generator's may learn.
        nets: from the smallest to the largest image.
    """

    def __init__(self, text: TextEncoder, nets: Sequence[TextDiscriminator]) -> None:
        super().__init__()
        self.text, self.nets = text, nn.ModuleList(nets)

    @property
    def sizes(self) -> list[TextDiscriminator]:
        """The discriminators, from the smallest to the largest image."""
        return [net for net in self.nets if isinstance(net, TextDiscriminator)]

    def code(self, batch: Batch) -> Tensor:
        """Texts of a batch -> (B, K)."""
        vector = self.text.vector(batch)
        assert vector is not None
        return vector


def _down(into: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(into, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.LeakyReLU(0.2)]


class _Strided(TextDiscriminator):
    """Strided convolutions down to 4 to 7 pixels, and the matching head.

    Args:
        spec: of the images.
        features: K.
        width: channels at half the resolution; doubled at each coarser one, up to 8 times.
        head: called with (channels of the maps, K, their sides).
    """

    def __init__(self, spec: ImageSpec, features: int, width: int = 16, head: HeadFactory = ProductHead) -> None:
        super().__init__()
        check_counts("discriminator", width=width)
        stages, *sides = starting_side(spec)
        sizes = [width * min(8, 1 << i) for i in range(max(1, stages))]
        first = nn.Conv2d(spec.channels, width, 4 if stages else 3, 2 if stages else 1, 1)
        layers: list[nn.Module] = [first, nn.LeakyReLU(0.2)]
        for into, out in itertools.pairwise(sizes):
            layers += _down(into, out)
        self.layers = nn.Sequential(*layers)
        self.sides, self.channels = (sides[0], sides[1]), sizes[-1]
        self.matching = head(self.channels, features, self.sides)

    def embed(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def match(self, maps: Tensor, code: Tensor) -> Tensor:
        return self.matching(maps, code)

    def compare(self, maps: Tensor, codes: Tensor) -> Tensor:
        return self.matching.compare(maps, codes)


@final
class MatchingDiscriminator(_Strided):
    """One logit for image and text together (Zhang et al. 2017, Section 3.3); arguments as `_Strided`."""


@final
class JointDiscriminator(_Strided):
    """A logit for image and text, and one for the image alone (Zhang et al. 2018, Eq. 5).

    Args:
        spec: of the images.
        features: K.
        width: channels at half the resolution; doubled at each coarser one, up to 8 times.
        head: called with (channels of the maps, K, their sides).
    """

    def __init__(self, spec: ImageSpec, features: int, width: int = 16, head: HeadFactory = ProductHead) -> None:
        super().__init__(spec, features, width, head)
        self.alone = LastConv2d(self.channels, 1, self.sides)

    def judge(self, maps: Tensor) -> Tensor:
        return self.alone(maps).flatten()


class _ResidualDown(nn.Module):
    """Half the resolution; the residual has a learned factor that begins at 0 (reference code of DF-GAN)."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(into, out, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.LeakyReLU(0.2),
        )
        self.shortcut = nn.Conv2d(into, out, 1) if into != out else nn.Identity()
        self.share = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(avg_pool2d(x, 2)) + self.share * self.body(x)


@final
class ResidualDiscriminator(TextDiscriminator):
    """Residual blocks down to 4 to 7 pixels without normalisation, as a gradient penalty wants it (Tao et al. 2022,
    DF-GAN, Section 3.2; there with a `JoinedHead` of kernel 3).

    Args:
        spec: of the images.
        features: K.
        width: channels at full resolution; doubled at each coarser one, up to 8 times (32 in the reference code).
        head: called with (channels of the maps, K, their sides).
    """

    def __init__(self, spec: ImageSpec, features: int, width: int = 16, head: HeadFactory = ProductHead) -> None:
        super().__init__()
        check_counts("discriminator", width=width)
        stages, height, side = starting_side(spec)
        sizes = [width * min(8, 1 << i) for i in range(stages + 1)]
        blocks = [_ResidualDown(into, out) for into, out in itertools.pairwise(sizes)]
        self.layers = nn.Sequential(nn.Conv2d(spec.channels, width, 3, padding=1), *blocks)
        self.head = head(sizes[-1], features, (height, side))

    def embed(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def match(self, maps: Tensor, code: Tensor) -> Tensor:
        return self.head(maps, code)

    def compare(self, maps: Tensor, codes: Tensor) -> Tensor:
        return self.head.compare(maps, codes)
