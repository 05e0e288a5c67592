"""Differentiable augmentation of everything the discriminator sees, real and generated alike, so that it cannot leak
into the samples.

Transform            one random change of each image, twice differentiable, as gradient penalties need it; all those of
                     the paper on adaptive augmentation together are `pipeline.Pipeline`
Augment              with which probability: 0, 1 (DiffAugment), one that follows overfitting (adaptive), or a ramp over
                     images seen
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_gen.distributed import rank_and_world, sum_over_processes
from lightning_gen.errors import IMAGE_LIMIT, UserError, check_counts
from lightning_gen.schedules import Ramp

__all__ = [
    "AdaptiveAugment",
    "Augment",
    "Brightness",
    "Contrast",
    "Cutout",
    "DiffAugment",
    "Flip",
    "NoAugment",
    "RampedAugment",
    "Saturation",
    "Transform",
    "Translation",
]


class Transform(ABC):
    """Signed images (B, C, H, W) -> the same shape; random, independent per image."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor: ...

    def sometimes(self, x: Tensor, probability: Tensor) -> Tensor:
        """Change each image with this probability, a scalar."""
        return torch.where(_uniform(x) < probability, self(x), x)


def _uniform(x: Tensor) -> Tensor:
    return torch.rand(len(x), 1, 1, 1, device=x.device).to(x.dtype)  # lerp takes one type, and 16 bits stay 16 bits


@final
class Brightness(Transform):
    """Adds a number uniform in -0.5..0.5 (Zhao et al. 2020, Section 3)."""

    def __call__(self, x: Tensor) -> Tensor:
        return x + (_uniform(x) - 0.5)


@final
class Saturation(Transform):
    """Scales the distance from grey by a factor uniform in 0..2."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).lerp(x, 2.0 * _uniform(x))


@final
class Contrast(Transform):
    """Scales the distance from the image's mean by a factor uniform in 0.5..1.5."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3), keepdim=True).lerp(x, _uniform(x) + 0.5)


@final
class Flip(Transform):
    """Mirrors half of the images left to right. Wrong where left matters, as in letters and digits."""

    def __call__(self, x: Tensor) -> Tensor:
        return torch.where(_uniform(x) < 0.5, x.flip(3), x)


@final
class Translation(Transform):
    """Moves by whole pixels along both axes; zeros come in at the edge.

    Args:
        ratio: largest shift as a part of the side, above 0, at most 1.
    """

    def __init__(self, ratio: float = 0.125) -> None:
        self.ratio = _ratio("Translation", ratio)

    def __call__(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        down, across = _pixels(self.ratio, height), _pixels(self.ratio, width)
        row, column = (
            torch.randint(0, 2 * most + 1, (count, 1), device=x.device) + torch.arange(side, device=x.device)
            for most, side in ((down, height), (across, width))
        )
        place = (row[:, :, None] * (width + 2 * across) + column[:, None, :]).view(count, 1, -1)
        padded = pad(x, [across, across, down, down])
        return padded.flatten(2).gather(2, place.expand(-1, channels, -1)).view_as(x)


@final
class Cutout(Transform):
    """Zeros in a rectangle that may reach over the edge.

    Args:
        ratio: of its sides to the image's, above 0, at most 1.
    """

    def __init__(self, ratio: float = 0.5) -> None:
        self.ratio = _ratio("Cutout", ratio)

    def __call__(self, x: Tensor) -> Tensor:
        inside = []
        for side in x.shape[2:]:
            length = _pixels(self.ratio, side)
            first = torch.randint(-(length // 2), side - length + length // 2 + 1, (len(x), 1), device=x.device)
            offset = torch.arange(side, device=x.device) - first
            inside.append((offset >= 0) & (offset < length))
        return x * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def _pixels(ratio: float, side: int) -> int:
    """`ratio` of `side`, to the nearest pixel and halves upwards, as in the authors' code; 1 or more."""
    return max(1, int(ratio * side + 0.5))


def _ratio(name: str, ratio: float) -> float:
    if not 0 < ratio <= 1:
        raise UserError(f"transform {name}.ratio is {ratio}: want above 0, at most 1")
    return ratio


class Augment(nn.Module, ABC):
    """What the discriminator sees of an image."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Signed (B, C, H, W) -> the same shape."""

    @abstractmethod
    def observe(self, real: Tensor, images_seen: int) -> None:
        """Take in the discriminator's logits of real images (B,) and the training images seen before; called once per
        batch."""

    def readings(self) -> dict[str, Tensor]:
        """Give what is charted beside the losses, scalars by name; empty where nothing changes."""
        return {}


@final
class NoAugment(Augment):
    """The image itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    def observe(self, real: Tensor, images_seen: int) -> None:
        """Ignore them."""


@final
class DiffAugment(Augment):
    """Every transform, always (Zhao et al. 2020, Eq. 4-5).

    Args:
        transforms: in order.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        super().__init__()
        self.transforms, self.parts = list(transforms), _modules(transforms)

    def forward(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def observe(self, real: Tensor, images_seen: int) -> None:
        """Ignore them."""


def _sometimes(transforms: Sequence[Transform], x: Tensor, probability: Tensor) -> Tensor:
    for transform in transforms:
        x = transform.sometimes(x, probability)
    return x


def _modules(transforms: Sequence[Transform]) -> nn.ModuleList:
    """Those that have tensors of their own, which follow the device of what holds them."""
    return nn.ModuleList(transform for transform in transforms if isinstance(transform, nn.Module))


@final
class RampedAugment(Augment):
    """Every transform with a probability that is a ramp over images seen (Huang et al. 2024: 0 to 0.3).

    Args:
        transforms: in order.
        probability: of each transform, image by image.
    """

    probability: Tensor

    def __init__(self, transforms: Sequence[Transform], probability: Ramp) -> None:
        super().__init__()
        if not all(0 <= value <= 1 for value in (probability.start, probability.end)):
            raise UserError(f"augment.probability is {probability.start} to {probability.end}: want 0 to 1")
        self.transforms, self.parts, self.ramp = list(transforms), _modules(transforms), probability
        self.register_buffer("probability", torch.tensor(float(probability.start)))

    def forward(self, x: Tensor) -> Tensor:
        return _sometimes(self.transforms, x, self.probability)

    def observe(self, real: Tensor, images_seen: int) -> None:
        self.probability.fill_(self.ramp.value(images_seen))

    def readings(self) -> dict[str, Tensor]:
        return {"augment_p": self.probability}


@final
class AdaptiveAugment(Augment):
    """Every transform with a probability that follows overfitting: it rises where the mean sign of the discriminator's
    logits of real images is above `target`, and falls below (Karras et al. 2020b, Eq. 1 and Section 3.1, r_t).

    Args:
        transforms: in order.
        target: of the mean sign, -1 to 1.
        images: over which the probability could go from 0 to 1.
        every: images between changes.
    """

    probability: Tensor
    mean_sign: Tensor

    def __init__(
        self, transforms: Sequence[Transform], target: float = 0.6, images: int = 500_000, every: int = 256
    ) -> None:
        super().__init__()
        if not -1 <= target <= 1:
            raise UserError(f"augment.target is {target}: want -1 to 1")
        check_counts("augment", limit=IMAGE_LIMIT, images=images, every=every)
        self.transforms, self.parts = list(transforms), _modules(transforms)
        self.target, self.images, self.every = target, images, every
        self.register_buffer("probability", torch.tensor(0.0))
        self.register_buffer("mean_sign", torch.tensor(0.0))
        # The sum of signs and the images since the last change, of all processes: no buffers, which are averaged.
        self.signs, self.seen = torch.tensor(0.0), 0

    def forward(self, x: Tensor) -> Tensor:
        return _sometimes(self.transforms, x, self.probability)

    @torch.no_grad()
    def observe(self, real: Tensor, images_seen: int) -> None:
        self.signs = self.signs.to(real.device) + sum_over_processes(real.detach().sign().sum())
        self.seen += len(real) * rank_and_world()[1]
        if self.seen < self.every:
            return
        self.mean_sign.copy_(self.signs / self.seen)
        change = (self.mean_sign - self.target).sign() * (self.seen / self.images)
        self.probability.add_(change).clamp_(0.0, 1.0)
        self.signs, self.seen = torch.zeros_like(self.signs), 0

    def readings(self) -> dict[str, Tensor]:
        return {"augment_p": self.probability, "augment_r_t": self.mean_sign}

    def get_extra_state(self) -> Tensor:
        return torch.stack([self.signs.cpu().double(), torch.tensor(self.seen, dtype=torch.float64)])

    def set_extra_state(self, state: Tensor) -> None:
        self.signs, self.seen = state[0].float(), int(state[1])
