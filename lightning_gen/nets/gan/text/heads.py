"""Heads that compare what a discriminator has seen of an image with the code of a text.

ProductHead   the dot product of both (Miyato and Koyama 2018): what an image shows of each word adds up
JoinedHead    the code beside the maps at each place, and convolutions over both (StackGAN, DF-GAN)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from lightning_gen.errors import UserError, check_counts
from lightning_gen.nets.gan.text.blocks import Joined
from lightning_gen.nets.layers.last import LastConv2d, LastLinear
from lightning_gen.precision import full_precision

__all__ = ["JoinedHead", "MatchingHead", "ProductHead"]


class MatchingHead(nn.Module, ABC):
    """Maps (B, C, h, w) of images and codes (B, K) of texts -> logits (B,), higher where they fit."""

    @abstractmethod
    def forward(self, maps: Tensor, code: Tensor) -> Tensor: ...

    def compare(self, maps: Tensor, codes: Tensor) -> Tensor:
        """Maps of B images and codes (M, K) of M texts -> logits of all pairs, (B, M)."""
        count = len(codes)
        pairs = maps.repeat_interleave(count, 0), codes.repeat(len(maps), 1)
        return self(*pairs).unflatten(0, (-1, count))


@final
class ProductHead(MatchingHead):
    """psi(x) + <V x, W t> / sqrt(width) of the flattened maps x and the code t, with psi, V and W linear (Miyato and
    Koyama 2018, Eq. 4). Where words are independent, log p(t given image) - log p(t) is such a sum over words. Places
    count, as V has weights of its own at each.

    Args:
        channels: C.
        features: K.
        sides: height and width of the maps.
        width: of V x and W t.
    """

    def __init__(self, channels: int, features: int, sides: tuple[int, int], width: int = 128) -> None:
        super().__init__()
        check_counts("head", width=width)
        places = channels * sides[0] * sides[1]
        self.image, self.text = LastLinear(places, width), LastLinear(features, width)
        self.alone = LastLinear(places, 1)
        self.scale = width**-0.5

    def forward(self, maps: Tensor, code: Tensor) -> Tensor:
        x = maps.flatten(1)
        return self.alone(x).flatten() + self.scale * (self.image(x) * self.text(code)).sum(1)

    def compare(self, maps: Tensor, codes: Tensor) -> Tensor:
        x = maps.flatten(1)
        image, text = self.image(x), self.text(codes)
        with full_precision(x):
            return self.alone(x) + self.scale * image @ text.T  # (B, 1) + (B, M)


@final
class JoinedHead(MatchingHead):
    """The code, narrowed, at each place of the maps; a convolution over both, and one of the whole map (Zhang et al.
    2017, Section 3.3).

    The paper has batch norm between them. Beware of it: right and wrong pairs pass in different batches, whose
    statistics tell them apart by one word, such as that of the background, and no other word is learned.

    Args:
        channels: C.
        features: K.
        sides: height and width of the maps.
        text_width: of the narrowed code.
        width: channels behind the first convolution (None: C).
        kernel: of the first convolution, odd.
        norm: behind it, called with its channels, such as `torch.nn.BatchNorm2d` (None: none).

    Raises:
        UserError: the kernel is even.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        sides: tuple[int, int],
        text_width: int = 64,
        width: int | None = None,
        kernel: int = 1,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        width = channels if width is None else width
        check_counts("head", text_width=text_width, width=width, kernel=kernel)
        if kernel % 2 == 0:
            raise UserError(f"head.kernel is {kernel}: want an odd number")
        self.narrow = nn.Sequential(nn.Linear(features, text_width), nn.LeakyReLU(0.2))
        join = nn.Conv2d(channels + text_width, width, kernel, padding=kernel // 2, bias=norm is None)
        self.join = Joined(nn.Sequential(join, *([norm(width)] if norm else []), nn.LeakyReLU(0.2)))
        self.score = LastConv2d(width, 1, sides)

    def forward(self, maps: Tensor, code: Tensor) -> Tensor:
        return self.score(self.join(maps, self.narrow(code))).flatten()
