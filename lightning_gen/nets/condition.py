"""What a model is conditioned on. Chosen by class in YAML; every family uses it in the same way:

self.condition = condition(spec)                              # in the constructor
context = self.condition.vector(batch)                        # (B, features), or None without a condition
batch = self.condition.rows(condition, n, generator)          # in `sample`: given by the caller, or drawn
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar, NamedTuple, final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, to_signed

__all__ = [
    "Attributes",
    "Condition",
    "Conditioning",
    "ConditioningAugmentation",
    "Label",
    "Source",
    "Unconditional",
    "check_vector_only",
    "draw_labels",
]


class Conditioning(NamedTuple):
    """Outputs of a condition for B images.

    Attributes:
        vector: float (B, `Condition.features`), or None.
        maps: float (B, `Condition.channels`, h, w), or None.
        loss: scalar in nats that the generator minimises beside its own, or None.
    """

    vector: Tensor | None = None
    maps: Tensor | None = None
    loss: Tensor | None = None


class Condition(nn.Module, ABC):
    """A batch -> the context of a model.

    Args:
        spec: of the images.
    """

    #: keys of the batch that are used
    keys: ClassVar[tuple[str, ...]]
    #: length of the vector; 0 where there is none
    features: int = 0
    #: channels of the maps; 0 where there are none
    channels: int = 0
    #: whether there is a loss in training
    adds_loss: bool = False
    #: length of the standard normal noise that samples of the vector take; 0: none
    noise: int = 0

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def forward(self, batch: Batch | None) -> Conditioning:
        """Compute the condition of a batch; raise `UserError` where it lacks a key."""

    @abstractmethod
    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        """Draw a batch of n rows without ``image`` where `generator` lives, the CPU by default."""

    def learn(self, batches: Iterable[Batch]) -> None:
        """Learn what must be known of the training data, such as captions to draw from; called once before
        training, kept in the checkpoint."""

    def prepare(self, batch: Batch) -> Batch:
        """Add what only the CPU can compute, such as the numbers of words, so that `forward` works on the device
        alone."""
        return batch

    def code(self, batch: Batch | None) -> Tensor | None:
        """All that `vector_of` must know of a batch, float (B, K), deterministic; None where there is no vector."""
        return self.vector(batch)

    def vector_of(self, code: Tensor, noise: Tensor) -> Tensor:
        """Codes (B, K) and standard normal noise (B, `noise`) -> vectors (B, features) for samples."""
        return code

    @final
    def vector(self, batch: Batch | None) -> Tensor | None:
        """float (B, features), None where `features` is 0."""
        return self(batch).vector

    @final
    def rows(self, batch: Batch | None, n: int, generator: Generator | None = None) -> Batch | None:
        """`batch` where it holds every key, else a drawn one; None where no key is used.

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


def check_vector_only(condition: Condition, model: str) -> None:
    """Raise where `condition` gives maps or a loss, which `model` would not use."""
    if condition.channels or condition.adds_loss:
        what = "maps" if condition.channels else "a loss"
        raise UserError(f"model.condition {type(condition).__name__} gives {what}: {model} wants a vector alone")


def draw_labels(classes: int, n: int, generator: Generator | None) -> Tensor:
    """Draw n labels with equal probability, int64 (n,), where `generator` lives, the CPU by default."""
    return torch.randint(classes, (n,), generator=generator, device=generator.device if generator else "cpu")


@final
class Unconditional(Condition):
    """No condition: labels and attributes of the data are not used."""

    keys = ()

    def forward(self, batch: Batch | None) -> Conditioning:
        return Conditioning()

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

    def forward(self, batch: Batch | None) -> Conditioning:
        if batch is None or "label" not in batch:
            raise UserError("condition lacks label: want one label per image")
        return Conditioning(self.embedding(batch["label"].to(self.embedding.weight.device)))

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        return {"label": draw_labels(self.spec.classes, n, generator).to(self.embedding.weight.device)}


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

    def forward(self, batch: Batch | None) -> Conditioning:
        if batch is None or "attributes" not in batch:
            raise UserError("condition lacks attributes: want one row per image")
        return Conditioning(batch["attributes"].to(self.place))

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        device = generator.device if generator is not None else "cpu"
        return {"attributes": torch.rand(n, self.features, generator=generator, device=device).to(self.place)}


@final
class Source(Condition):
    """The source image as signed maps, for models that read maps.

    Args:
        spec: of the images; with a source.

    Raises:
        UserError: the images have no source.
    """

    keys = ("source",)
    place: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec)
        if spec.source is None:
            raise UserError("data has no source images: condition Source wants a set of pairs")
        self.source = spec.source
        self.channels = spec.source.channels
        self.register_buffer("place", torch.empty(0), persistent=False)

    def forward(self, batch: Batch | None) -> Conditioning:
        if batch is None or "source" not in batch:
            raise UserError("condition lacks source: want one source image per image")
        return Conditioning(maps=to_signed(batch["source"].to(self.place.device), self.source.levels).to(self.place))

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        raise UserError("condition Source cannot be drawn: want source images")


@final
class ConditioningAugmentation(Condition):
    """c = mu(e) + sigma(e) * noise of another condition's vector e, with KL(N(mu, sigma^2) || N(0, 1)) as a loss
    (Zhang et al. 2017, Section 3.2). The neighbourhood of each condition is trained too. In eval mode c is mu.

    Args:
        spec: of the images.
        condition: called with (spec); gives a vector.
        features: length of c, 1 or more.
        weight: of the divergence, 0 or more.
        spread: factor of the noise in samples, where the model draws it, 0 or more. 0: they take mu, and say most of
            what the condition says. 1: as in training.
    """

    keys: tuple[str, ...]  # type: ignore[misc]
    adds_loss = True

    def __init__(
        self,
        spec: ImageSpec,
        condition: Callable[[ImageSpec], Condition],
        features: int = 128,
        weight: float = 1.0,
        spread: float = 0.0,
    ) -> None:
        super().__init__(spec)
        check_counts("condition", features=features)
        for name, value in (("weight", weight), ("spread", spread)):
            if value < 0:
                raise UserError(f"condition.{name} is {value}: want 0 or more")
        self.spread, self.noise = spread, features if spread else 0
        self.inner, self.features, self.weight = condition(spec), features, weight
        check_vector_only(self.inner, "ConditioningAugmentation")
        if not self.inner.features:
            raise UserError("condition ConditioningAugmentation has nothing to augment: want e.g. Label")
        self.keys = self.inner.keys
        self.moments = nn.Linear(self.inner.features, 2 * features)

    def forward(self, batch: Batch | None) -> Conditioning:
        mean, log_sigma = self.code(batch).chunk(2, 1)  # (B, features) each
        if not self.training:
            return Conditioning(mean)
        kl = 0.5 * (mean.square() + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum(1).mean()
        return Conditioning(mean + log_sigma.exp() * torch.randn_like(mean), loss=self.weight * kl)

    def code(self, batch: Batch | None) -> Tensor:
        return self.moments(self.inner.vector(batch))  # (B, 2 features)

    def vector_of(self, code: Tensor, noise: Tensor) -> Tensor:
        mean, log_sigma = code.chunk(2, 1)
        return mean + self.spread * log_sigma.exp() * noise if self.spread else mean

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        return self.inner.draw(n, generator)

    def learn(self, batches: Iterable[Batch]) -> None:
        self.inner.learn(batches)

    def prepare(self, batch: Batch) -> Batch:
        return self.inner.prepare(batch)
