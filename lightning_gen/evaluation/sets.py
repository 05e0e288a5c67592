"""What the distances of an evaluation need: the real images, the features, and what is computed of them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lightning_gen.contracts import ImageData, Split
from lightning_gen.evaluation.collection import collect, untouched
from lightning_gen.evaluation.features import (
    compare,
    distance_identity,
    embedded_extractor,
    reference_of,
    warn_of_few,
)
from lightning_gen.evaluation.groups import group_recall
from lightning_gen.evaluation.rows import Metrics
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.distances import SetDistance
from lightning_gen.metrics.extractors import Classifier, Extractor
from lightning_gen.metrics.frechet import FrechetDistance
from lightning_gen.metrics.kernel import KernelDistance
from lightning_gen.metrics.manifold import FidelityDiversity

__all__ = ["SetEvaluation"]


class SetEvaluation:
    """How far a set of generated images is from the real ones.

    Args:
        split: of the real images.
        samples: images of a generated set; 0: no distances.
        seed: of every draw, part of the identity.
        extractor: called with (spec); see `protocol.Evaluation`, as are `distances` and `groups`.
        distances: each called with (extractor).
        groups: attributes.
    """

    def __init__(
        self,
        split: Split,
        samples: int,
        seed: int,
        extractor: Callable[[ImageSpec], Extractor] | None,
        distances: list[Callable[[Extractor], SetDistance]] | None,
        groups: Sequence[str],
    ) -> None:
        self.split, self.samples, self.seed = split, samples, seed
        self.extractor, self.distances, self.groups = extractor, distances, list(groups)
        self._ready: tuple[str, list[SetDistance]] | None = None

    def distance(
        self,
        draw: Callable[[int], Tensor],
        images: int,
        data: ImageData,
        device: torch.device | str = "cpu",
        step: Callable[[], None] = lambda: None,
    ) -> Metrics:
        """Measure the distances of a generated set from the real images.

        Args:
            draw: block index -> uint8 (BLOCK, C, H, W); rows beyond `images` are not looked at.
            images: size of the generated set.
            data: real images.
            device: where features are computed.
            step: called after each block of this process.
        """
        distances = self._prepare(data, device)
        if not distances:
            return {}
        extractor = distances[0].extractor
        warn_of_few(images, data, self.split, extractor)

        def block(index: int) -> Tensor:
            image = draw(index)
            data.spec.check(image)  # a float picture, which alone can hold a NaN, ends here in one plain line
            return extractor(image.to(device))

        features = collect(images, (extractor.dims,), torch.float32, block, step).cpu()
        identity = distance_identity(data, self.split, extractor) | {"samples": images, "seed": self.seed}
        metrics: Metrics = {}
        for distance in distances:
            metrics |= compare(distance, reference_of(distance, data, self.split, device), features, identity)
        if self.groups:
            metrics |= group_recall(data, self.split, self.groups, extractor, features, identity, device)
        return metrics

    def extractor_of(self, data: ImageData, device: torch.device | str = "cpu") -> Extractor:
        """Give the features that the distances look at. A collective."""
        distances = self._prepare(data, device)
        return distances[0].extractor if distances else embedded_extractor(data).to(device)

    def classifier(self, data: ImageData, device: torch.device | str = "cpu") -> Classifier | None:
        """Give the classifier whose features the distances use; None where they use another one, or there are none."""
        found = self.extractor_of(data, device) if self.samples else None
        return found if isinstance(found, Classifier) else None

    def _prepare(self, data: ImageData, device: torch.device | str) -> list[SetDistance]:
        """The distances with their extractor, made once per data set."""
        if self._ready is None or self._ready[0] != data.fingerprint:
            classes = [FrechetDistance, KernelDistance, FidelityDiversity] if self.distances is None else self.distances
            if not classes:  # an extractor that nobody asks may take minutes to learn
                return []
            with untouched(torch.device(device)):  # a new network draws its first weights
                extractor = self.extractor(data.spec) if self.extractor else embedded_extractor(data)
            self._ready = data.fingerprint, [make(extractor.eval()) for make in classes]
        for distance in self._ready[1]:
            distance.extractor.to(device)
        return self._ready[1]
