"""The discriminator: a body that computes features, a head that computes logits, and four ways to condition the head.

LinearHead                 no condition
Concatenation         features and condition through a hidden layer
Projection            plus the inner product of features and condition
AuxiliaryClassifier   plus a classifier, whose loss both players minimise
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightning_gen.batches import Batch
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.condition import Condition, Label, check_vector_only
from lightning_gen.precision import at_least_float32, full_precision

__all__ = [
    "AuxiliaryClassifier",
    "Concatenation",
    "Discriminator",
    "DiscriminatorOutput",
    "Head",
    "HeadedDiscriminator",
    "LinearHead",
    "Projection",
]


class DiscriminatorOutput(NamedTuple):
    """Outputs of a discriminator for B images.

    Attributes:
        logits: (B,) or a map (B, 1, h, w) of patches, any shape that begins with B; higher for real images.
        features: of chosen layers, each (B, ...), for feature matching; empty where the network gives none.
        auxiliary: scalar in nats that both players minimise beside the adversarial loss, such as a classifier's
            cross-entropy; None
            where there is none.
    """

    logits: Tensor
    features: tuple[Tensor, ...] = ()
    auxiliary: Tensor | None = None


class Discriminator(nn.Module, ABC):
    """A network that computes logits of images."""

    #: keys of the batch that are used
    keys: tuple[str, ...]

    @abstractmethod
    def forward(self, x: Tensor, batch: Batch | None = None) -> DiscriminatorOutput:
        """Signed images (B, C, H, W), and a batch that holds `keys`."""


class Head(nn.Module, ABC):
    """Features of images -> logits."""

    #: keys of the batch that are used
    keys: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, features: Tensor, batch: Batch | None) -> DiscriminatorOutput:
        """Features (B, F)."""


class HeadedDiscriminator(Discriminator, ABC):
    """A body with a head.

    Args:
        spec: of the images.
        features: F, what the body gives.
        head: called with (spec, F).
    """

    def __init__(self, spec: ImageSpec, features: int, head: Callable[[ImageSpec, int], Head]) -> None:
        super().__init__()
        self.head = head(spec, features)
        self.keys = self.head.keys

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Signed images (B, C, H, W) -> features (B, F)."""

    def forward(self, x: Tensor, batch: Batch | None = None) -> DiscriminatorOutput:
        features = self.embed(x)
        with full_precision(x):  # a logit in bfloat16 has three digits
            return self.head(at_least_float32(features), batch)


@final
class LinearHead(Head):
    """One linear map.

    Args:
        spec: of the images.
        features: F.
    """

    def __init__(self, spec: ImageSpec, features: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)

    def forward(self, features: Tensor, batch: Batch | None) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.score(features)[:, 0])


@final
class Concatenation(Head):
    """Features and condition joined in a hidden layer (Mirza and Osindero 2014, Section 4.1, without maxout).

    Args:
        spec: of the images.
        features: F.
        condition: called with (spec).
        width: of the hidden layer.
    """

    def __init__(
        self, spec: ImageSpec, features: int, condition: Callable[[ImageSpec], Condition] = Label, width: int = 128
    ) -> None:
        super().__init__()
        self.condition = condition(spec)
        check_vector_only(self.condition, type(self).__name__)
        self.keys = self.condition.keys
        hidden = nn.Linear(features + self.condition.features, width)
        self.layers = nn.Sequential(hidden, nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, features: Tensor, batch: Batch | None) -> DiscriminatorOutput:
        context = self.condition.vector(batch)
        joined = features if context is None else torch.cat([features, context], 1)
        return DiscriminatorOutput(self.layers(joined)[:, 0])


@final
class Projection(Head):
    """score(features) + <V condition, features> (Miyato and Koyama 2018, Eq. 4).

    Args:
        spec: of the images.
        features: F.
        condition: called with (spec).
    """

    def __init__(self, spec: ImageSpec, features: int, condition: Callable[[ImageSpec], Condition] = Label) -> None:
        super().__init__()
        self.condition = condition(spec)
        check_vector_only(self.condition, type(self).__name__)
        self.keys = self.condition.keys
        if not self.keys:
            raise UserError("head Projection has no condition to look at: want e.g. Label")
        self.score = nn.Linear(features, 1)
        self.project = nn.Linear(self.condition.features, features, bias=False)

    def forward(self, features: Tensor, batch: Batch | None) -> DiscriminatorOutput:
        agreement = (self.project(self.condition.vector(batch)) * features).sum(1)
        return DiscriminatorOutput(self.score(features)[:, 0] + agreement)


@final
class AuxiliaryClassifier(Head):
    """A logit that does not depend on the label, and a classifier: its loss is -log p(label|image) in nats, mean over
    the
    batch (Odena et al. 2017, Eq. 3).

    Args:
        spec: of the images; with classes.
        features: F.
        weight: of the loss, 0 or more; 1 in the paper.
    """

    keys = ("label",)

    def __init__(self, spec: ImageSpec, features: int, weight: float = 1.0) -> None:
        super().__init__()
        if not spec.classes:
            raise UserError("data has no classes: head AuxiliaryClassifier wants a set with labels")
        if weight < 0:
            raise UserError(f"head.weight is {weight}: want 0 or more")
        self.weight = weight
        self.score, self.classify = nn.Linear(features, 1), nn.Linear(features, spec.classes)

    def forward(self, features: Tensor, batch: Batch | None) -> DiscriminatorOutput:
        if batch is None or "label" not in batch:
            raise UserError("condition lacks label: want one label per image")
        label = batch["label"].to(features.device)
        cost = self.weight * cross_entropy(self.classify(features), label)
        return DiscriminatorOutput(self.score(features)[:, 0], auxiliary=cost)
