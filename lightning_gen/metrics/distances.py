"""The contract of a distance between a real and a generated set, on torchmetrics' interface."""

from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_gen.metrics.extractors import Extractor

__all__ = ["SetDistance", "Value"]


class Value(NamedTuple):
    """One number: its name, its value, its standard error where the estimator has one, and which way is better."""

    name: str
    value: float
    error: float | None
    better: Literal["lower", "higher"]


class SetDistance(Metric, ABC):
    """Compares two sets of images by their features. A subclass says what it keeps of the real set, which may be
    cached, and how a generated set compares with it.

    Args:
        extractor: any module uint8 (B, C, H, W) -> (B, D) that says its name; its weights never enter a checkpoint.
    """

    is_differentiable = False
    full_state_update = False

    real: list[Tensor]
    generated: list[Tensor]

    def __init__(self, extractor: Extractor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # In a tuple: a module held in an attribute would make its weights part of whatever owns this metric.
        self._extractor = (extractor,)
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("generated", default=[], dist_reduce_fx="cat")

    @property
    def extractor(self) -> Extractor:
        """Gives the features."""
        return self._extractor[0]

    @property
    def settings(self) -> dict[str, int]:
        """What the values depend on beside the images and the extractor; part of their identity."""
        return {}

    @abstractmethod
    def reference(self, real: Tensor) -> dict[str, Tensor]:
        """Features (N, D) of the real set -> what `compare` needs of it."""

    @abstractmethod
    def compare(self, reference: dict[str, Tensor], generated: Tensor) -> list[Value]:
        """The value or values of the generated set, features (M, D), against a `reference`."""

    @torch.no_grad()
    def update(self, image: Tensor, real: bool) -> None:
        """Add uint8 (B, C, H, W) to the real or to the generated set."""
        (self.real if real else self.generated).append(self.extractor(image))

    def compute(self) -> dict[str, Tensor]:
        """Name -> value over everything seen, on all processes."""
        real, generated = (torch.cat(list(x)) if isinstance(x, list) else x for x in (self.real, self.generated))
        values = self.compare(self.reference(real), generated)
        return {value.name: torch.tensor(value.value, dtype=torch.float64) for value in values}
