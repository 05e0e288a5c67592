"""What a model is conditioned on, as one vector per image. Chosen by class in YAML; every family reads it the same way:

self.condition = condition(spec)                              # in the constructor
context = self.condition(batch)                               # (B, features), or None without a condition
batch = self.condition.rows(condition, n, generator)          # in `sample`: given by the caller, or drawn
"""

from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["Attributes", "Condition", "Label", "Unconditional"]


class Condition(nn.Module, ABC):
    """A batch -> its context.

    Args:
        spec: of the images.
    """

    #: keys of the batch that are looked at
    keys: ClassVar[tuple[str, ...]]
    #: length of the context; 0 where there is none
    features: int

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def forward(self, batch: Batch | None) -> Tensor | None:
        """-> float (B, features), None where `features` is 0."""

    @abstractmethod
    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        """A batch of n rows without ``image``, drawn where `generator` lives, the CPU by default."""

    @final
    def rows(self, batch: Batch | None, n: int, generator: Generator | None = None) -> Batch | None:
        """`batch` where it holds every key, else a drawn one; None where nothing is looked at.

        Raises:
            UserError: `batch` has not n rows.
        """
        if not self.keys:
            return None
        if batch is None or not all(key in batch for key in self.keys):
            batch = self.draw(n, generator)
        for key, value in batch.items():
            if key in self.keys and len(value) != n:  # type: ignore[arg-type]
                raise UserError(f"condition has {len(value)} rows of {key}: want {n}, one per image")  # type: ignore[arg-type]
        return batch


@final
class Unconditional(Condition):
    """No condition: labels and attributes of the data are not looked at."""

    keys = ()
    features = 0

    def forward(self, batch: Batch | None) -> Tensor | None:
        return None

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        return {}


@final
class Label(Condition):
    """A learned vector per class.

    Args:
        spec: of the images; with classes.
        features: length of the vector, 1 or more.

    Raises:
        UserError: the images have no classes; a label is not one of them.
    """

    keys = ("label",)

    def __init__(self, spec: ImageSpec, features: int = 32) -> None:
        super().__init__(spec)
        if not spec.classes:
            raise UserError("data has no classes: condition Label wants a set with labels")
        check_counts("condition", features=features)
        self.features = features
        self.embedding = nn.Embedding(spec.classes, features)

    def forward(self, batch: Batch | None) -> Tensor | None:
        if batch is None or "label" not in batch:
            raise UserError("condition lacks label: want one label per image")
        return self.embedding(batch["label"].to(self.embedding.weight.device))

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        device = generator.device if generator is not None else "cpu"
        label = torch.randint(self.spec.classes, (n,), generator=generator, device=device)
        return {"label": label.to(self.embedding.weight.device)}


@final
class Attributes(Condition):
    """The vector of named attributes as it is.

    Args:
        spec: of the images; with attributes.

    Raises:
        UserError: the images have no attributes.
    """

    keys = ("attributes",)
    place: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec)
        if not spec.attributes:
            raise UserError("data has no attributes: condition Attributes wants a set with attributes")
        self.features = spec.attributes
        self.register_buffer("place", torch.empty(0), persistent=False)

    def forward(self, batch: Batch | None) -> Tensor | None:
        if batch is None or "attributes" not in batch:
            raise UserError("condition lacks attributes: want one row per image")
        return batch["attributes"].to(self.place)

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        device = generator.device if generator is not None else "cpu"
        return {"attributes": torch.rand(n, self.features, generator=generator, device=device).to(self.place)}
