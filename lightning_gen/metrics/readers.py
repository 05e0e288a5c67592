"""A network that reads attributes off images, to steer and to judge generated ones."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.metrics.extractors import Classifier, Extractor, minimise, repeatable

__all__ = ["AttributeReader", "ReaderFeatures", "fit_reader"]


@final
class AttributeReader(nn.Module):
    """uint8 (B, C, H, W) -> attributes (B, A): of those that are 0 or 1 the probability, of others the number in its
    own unit.

    Args:
        spec: of the images; with attributes.
    """

    mean: Tensor
    scale: Tensor
    binary: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        if not spec.attributes:
            raise UserError("data has no attributes: a reader of attributes wants a set with some")
        self.spec = spec
        self.net = Classifier(ImageSpec(*spec.shape, spec.levels, classes=spec.attributes))
        for name, value in (("mean", 0.0), ("scale", 1.0), ("binary", 0.0)):
            self.register_buffer(name, torch.full((spec.attributes,), value))

    def scores(self, image: Tensor) -> Tensor:
        """Read what grows linearly, (B, A): the logit of a probability; of a number how many standard deviations of
        the data it is from the mean."""
        return self.net.logits(self.net(image))

    def scores_of_signed(self, x: Tensor) -> Tensor:
        """As `scores`, of signed images (B, C, H, W) that are not rounded to levels; differentiable."""
        return self.net.logits(self.net.pooled(x))

    def forward(self, image: Tensor) -> Tensor:
        return self.values(self.scores(image))

    def values(self, scores: Tensor) -> Tensor:
        """Scores (..., A) -> attributes in their units."""
        return torch.where(self.binary > 0, scores.sigmoid(), self.mean + self.scale * scores)

    def score_of(self, values: Tensor) -> Tensor:
        """The inverse of `values`; probabilities are kept 1 % from 0 and 1."""
        inside = values.clamp(0.01, 0.99)
        return torch.where(self.binary > 0, inside.logit(), (values - self.mean) / self.scale)

    def features(self, image: Tensor) -> Tensor:
        """(B, D), what the attributes are read from."""
        return self.net(image)


@final
class ReaderFeatures(Extractor):
    """What a reader reads attributes from, (B, D): features for distances of sets that have attributes and no classes.

    Args:
        reader: that has been fitted.
    """

    kind = "reader"

    def __init__(self, reader: AttributeReader) -> None:
        super().__init__(reader.spec)
        self.reader = reader

    @property
    def dims(self) -> int:
        return self.reader.net.dims

    def forward(self, image: Tensor) -> Tensor:
        return self.reader.features(image)

    def of_signed(self, x: Tensor) -> Tensor:
        return self.reader.net.pooled(x)


def fit_reader(
    image: Tensor, attributes: Tensor, spec: ImageSpec, epochs: int = 12, least: int = 240
) -> AttributeReader:
    """Train a reader, the same weights for the same data on the same machine: one thread, fixed seeds. Pictures are
    mirrored at random and get a little noise.

    Args:
        image: uint8 (N, C, H, W).
        attributes: float (N, A).
        spec: of the images.
        epochs: passes over the images, as far as 1,500 batches go.
        least: batches at least.
    """
    chance = torch.Generator().manual_seed(0)
    steps, batch = min(max(least, epochs * len(image) // 64), 1500), min(64, len(image))
    with repeatable():
        net = AttributeReader(spec)
        net.binary.copy_(((attributes == 0) | (attributes == 1)).all(0))
        net.mean.copy_(attributes.mean(0))
        net.scale.copy_(attributes.std(0, unbiased=False).clamp(min=1e-6))

        def loss() -> Tensor:
            index = torch.randint(len(image), (batch,), generator=chance)
            x = to_signed(image[index], spec.levels)
            mirrored = torch.rand(batch, 1, 1, 1, generator=chance) < 0.5
            x = torch.where(mirrored, x.flip(3), x)
            x = x + 0.2 * torch.rand(batch, 1, 1, 1, generator=chance) * torch.randn(x.shape, generator=chance)
            return _loss(net, net.net.logits(net.net.pooled(x)), attributes[index])

        minimise(net, loss, 5e-3, steps)
    return net.eval().requires_grad_(False)


def _loss(net: AttributeReader, scores: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of those that are 0 or 1, squared error of the others, the mean over all attributes."""
    yes = binary_cross_entropy_with_logits(scores, target.clamp(0, 1), reduction="none")
    number = mse_loss(scores, (target - net.mean) / net.scale, reduction="none")
    return torch.where(net.binary > 0, yes, number).mean()
