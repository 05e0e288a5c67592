"""Generators of text to image: how a text becomes a code, and a code with noise becomes images of several sizes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from lightning_gen.batches import Batch
from lightning_gen.images import ImageSpec
from lightning_gen.nets.condition import Condition
from lightning_gen.nets.text.encoder import TextEncoder

__all__ = [
    "Augmentation",
    "Drawn",
    "StackedGenerator",
    "TextGenerator",
    "TextNet",
    "TextSource",
    "TreeGenerator",
    "resized",
]

#: called with (spec)
TextSource = Callable[[ImageSpec], TextEncoder]
#: called with (spec, text encoder), such as `ConditioningAugmentation`
Augmentation = Callable[[ImageSpec, TextSource], Condition]


class Drawn(NamedTuple):
    """Signed images from the smallest to the largest, each (B, C, h, w), and the loss of their condition, a scalar in
    nats, or None."""

    images: tuple[Tensor, ...]
    condition_loss: Tensor | None = None


def resized(image: Tensor, shrink: int) -> Tensor:
    """Average squares of `shrink` pixels, (B, C, H, W) -> (B, C, H / shrink, W / shrink)."""
    return image if shrink == 1 else avg_pool2d(image, shrink)


class TextGenerator(nn.Module, ABC):
    """Noise and texts -> images of one or several sizes."""

    #: by how much each image is smaller than the full one, such as (4, 2, 1)
    shrinks: tuple[int, ...]

    @property
    @abstractmethod
    def condition(self) -> Condition:
        """The condition, or one of equal ones: it draws captions and prepares batches."""

    @property
    @abstractmethod
    def noise(self) -> int:
        """Length of the noise of all conditions together."""

    @abstractmethod
    def code(self, batch: Batch | None) -> Tensor:
        """Texts of a batch -> codes (B, K), deterministic."""

    @abstractmethod
    def draw(self, z: Tensor, code: Tensor) -> tuple[Tensor, ...]:
        """Noise (B, Z + `noise`) and codes (B, K) -> signed images in the order of `shrinks`, as samples."""


class TextNet(nn.Module, ABC):
    """z (B, Z) and codes (B, K) -> signed images in the order of `shrinks`."""

    #: see `TextGenerator`
    shrinks: tuple[int, ...]

    @abstractmethod
    def forward(self, z: Tensor, code: Tensor) -> tuple[Tensor, ...]: ...


@final
class TreeGenerator(TextGenerator):
    """One condition and one network.

    Args:
        condition: of the texts; gives a vector.
        net: called with (z, code).
    """

    def __init__(self, condition: Condition, net: TextNet) -> None:
        super().__init__()
        self._condition, self.net, self.shrinks = condition, net, net.shrinks

    @property
    def condition(self) -> Condition:
        return self._condition

    @property
    def noise(self) -> int:
        return self._condition.noise

    def code(self, batch: Batch | None) -> Tensor:
        return _code(self._condition, batch)

    def draw(self, z: Tensor, code: Tensor) -> tuple[Tensor, ...]:
        z, of_code = z.split((z.shape[1] - self.noise, self.noise), 1)
        return self.net(z, self._condition.vector_of(code, of_code))

    def forward(self, z: Tensor, batch: Batch) -> Drawn:
        """Noise (B, Z) and texts -> images, in training."""
        found = self._condition(batch)
        return Drawn(self.net(z, found.vector), found.loss)


@final
class StackedGenerator(TextGenerator):
    """Two conditions and two networks: Stage II makes the image of Stage I larger.

    Args:
        conditions: of Stage I and Stage II, with vectors of equal length.
        first: called with (z, code).
        second: called with (small image, code).
        shrink: by how much the image of Stage I is smaller.
    """

    def __init__(
        self, conditions: tuple[Condition, Condition], first: nn.Module, second: nn.Module, shrink: int
    ) -> None:
        super().__init__()
        self.first_condition, self.second_condition = conditions
        self.first, self.second, self.shrinks = first, second, (shrink, 1)

    @property
    def condition(self) -> Condition:
        return self.first_condition

    @property
    def noise(self) -> int:
        return self.first_condition.noise + self.second_condition.noise

    def code(self, batch: Batch | None) -> Tensor:
        return torch.cat([_code(part, batch) for part in (self.first_condition, self.second_condition)], 1)

    def draw(self, z: Tensor, code: Tensor) -> tuple[Tensor, ...]:
        one, two = code.chunk(2, 1)
        first, second = self.first_condition.noise, self.second_condition.noise
        z, of_one, of_two = z.split((z.shape[1] - first - second, first, second), 1)
        small = self.first(z, self.first_condition.vector_of(one, of_one))
        return small, self.second(small, self.second_condition.vector_of(two, of_two))

    def sketch(self, z: Tensor, batch: Batch) -> Drawn:
        """Draw with Stage I alone: one small image."""
        found = self.first_condition(batch)
        return Drawn((self.first(z, found.vector),), found.loss)

    def finish(self, z: Tensor, batch: Batch) -> Drawn:
        """Draw with Stage II on a Stage I that does not learn, and is in eval mode: one large image."""
        for part in (self.first_condition, self.first):
            part.eval()
        with torch.no_grad():  # a sketch as samples have it
            code = _code(self.first_condition, batch)
            noise = torch.randn(len(z), self.first_condition.noise, device=z.device)
            small = self.first(z, self.first_condition.vector_of(code, noise))
        found = self.second_condition(batch)
        return Drawn((self.second(small, found.vector),), found.loss)


def _code(condition: Condition, batch: Batch | None) -> Tensor:
    code = condition.code(batch)
    assert code is not None
    return code
