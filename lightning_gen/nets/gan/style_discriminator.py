"""The discriminator of StyleGAN2 (Karras et al. 2020a, Figure 7 c, and Appendix B): residual blocks, the deviation
over the batch as one more channel, and heads with an equalised learning rate."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, halvings
from lightning_gen.nets.condition import Condition, Label, check_vector_only
from lightning_gen.nets.gan.discriminator import DiscriminatorOutput, Head, HeadedDiscriminator
from lightning_gen.nets.gan.style_generator import Mapping
from lightning_gen.nets.gan.style_layers import GAIN, EqualConv2d, EqualLinear, activate, leaky, widths
from lightning_gen.precision import at_least_float32

__all__ = ["EqualHead", "MappedProjection", "StyleDiscriminator", "batch_deviation"]


@final
class EqualHead(Head):
    """One linear map with an equalised learning rate.

    Args:
        spec: of the images.
        features: F.
    """

    def __init__(self, spec: ImageSpec, features: int) -> None:
        super().__init__()
        self.score = EqualLinear(features, 1)

    def forward(self, features: Tensor, batch: Batch | None) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.score(features)[:, 0])


@final
class MappedProjection(Head):
    """<score(features), mapped condition> / sqrt(M) (Karras et al. 2020b, Appendix C: the conditional discriminator).

    Args:
        spec: of the images.
        features: F.
        condition: called with (spec).
        style: M, 1 or more.
        layers: of the mapping of the condition, 1 or more.
    """

    def __init__(
        self,
        spec: ImageSpec,
        features: int,
        condition: Callable[[ImageSpec], Condition] = Label,
        style: int = 128,
        layers: int = 2,
    ) -> None:
        super().__init__()
        check_counts("head", style=style, layers=layers)
        self.condition = condition(spec)
        check_vector_only(self.condition, type(self).__name__)
        self.keys = self.condition.keys
        if not self.keys:
            raise UserError("head MappedProjection has no condition to look at: want e.g. Label")
        self.mapping = Mapping(0, self.condition.features, style, layers)
        self.score = EqualLinear(features, style)

    def forward(self, features: Tensor, batch: Batch | None) -> DiscriminatorOutput:
        w = self.mapping(None, self.condition.vector(batch))
        return DiscriminatorOutput((self.score(features) * w).sum(1) / math.sqrt(w.shape[1]))


def batch_deviation(x: Tensor, group: int) -> Tensor:
    """Append one channel that tells how much images differ (Karras et al. 2018, Section 3): the standard deviation over
    a group of images, mean over channels and places.

    Groups are strided: of a batch of N, the images i, i + N / G, ... are one. A batch that `group` does not divide has
    the largest groups below it that do.

    Args:
        x: (B, C, H, W).
        group: images of a group G at most.

    Returns:
        (B, C + 1, H, W), the new channel in at least float32 until it is joined.
    """
    count = len(x)
    size = next(g for g in range(min(group, count), 0, -1) if count % g == 0)
    groups = at_least_float32(x).unflatten(0, (size, count // size))  # (G, N / G, C, H, W)
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))  # (N / G,)
    channel = deviation.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel.to(x.dtype)], 1)


@final
class _Block(nn.Module):
    """(conv3(down) + conv1(down)) / sqrt(2); the second branch has neither bias nor activation. The division is in the
    weights of both: of the first branch it takes away the gain of the activation."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.first = EqualConv2d(into, into, 3, gain=GAIN)
        self.second = EqualConv2d(into, out, 3, down=True, gain=GAIN / math.sqrt(2.0))
        self.skip = EqualConv2d(into, out, 1, down=True, bias=False, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return leaky(self.second(leaky(self.first(x)))) + self.skip(x)


@final
class StyleDiscriminator(HeadedDiscriminator):
    """Signed images (B, C, H, W) -> features (B, F), F the channels of the coarsest resolution -> logits.

    Args:
        spec: of the images; both sides are halved as long as they are even and above 4.
        width: channels at full resolution; doubled at each coarser one; 1 or more.
        most: channels at most.
        group: images whose deviation is taken together, 1 or more.
        head: called with (spec, F).
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 64,
        most: int = 512,
        group: int = 4,
        head: Callable[[ImageSpec, int], Head] = EqualHead,
    ) -> None:
        check_counts("discriminator", width=width, most=most, group=group)
        count = halvings(spec) + 1
        channels = widths(width, most, count)
        super().__init__(spec, channels[-1], head)
        self.group = group
        self.read = EqualConv2d(spec.channels, channels[0], 1, gain=GAIN)
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in pairwise(channels)))
        self.last = EqualConv2d(channels[-1] + 1, channels[-1], 3, gain=GAIN)
        places = (spec.height >> (count - 1)) * (spec.width >> (count - 1))
        self.join = EqualLinear(channels[-1] * places, channels[-1])

    def embed(self, x: Tensor) -> Tensor:
        x = self.blocks(leaky(self.read(x)))
        x = leaky(self.last(batch_deviation(x, self.group)))
        return activate(self.join(x.flatten(1)))
