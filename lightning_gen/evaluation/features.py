"""The extractor that needs no download, learned once from the training images and cached."""

import math
import sys
from typing import Any

import torch
from torch import Tensor

from lightning_gen.batches import join
from lightning_gen.cache import cache_path, cached
from lightning_gen.contracts import ImageData, Split
from lightning_gen.distributed import rank_and_world
from lightning_gen.evaluation.collection import collect, read_block
from lightning_gen.evaluation.readers import attribute_reader
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row
from lightning_gen.metrics.distances import SetDistance
from lightning_gen.metrics.extractors import PCA, Classifier, Extractor, fit_classifier, fit_pca
from lightning_gen.metrics.readers import ReaderFeatures

__all__ = ["compare", "distance_identity", "embedded_extractor", "reference_of", "warn_of_few"]

#: an embedded extractor learns from at most this many images
_LEARN = 20000


def embedded_extractor(data: ImageData) -> Extractor:
    """Build a classifier trained on the data's own labels; a reader trained on its attributes where it has no labels;
    principal components of the pixels where it has neither. A collective."""
    spec = data.spec
    if spec.attributes and not spec.classes:
        return ReaderFeatures(attribute_reader(data)).eval()
    net: Extractor = Classifier(spec) if spec.classes else PCA(spec)
    path = cache_path("extractors", {**data_identity(data, "train"), "kind": net.kind, "recipe": 1})

    def make() -> dict[str, Tensor]:
        batch = join(list(data.batches("train", 512, 0, _LEARN)))
        if not spec.classes:
            return fit_pca(batch["image"], spec).state_dict()
        return fit_classifier(batch["image"], batch["label"], spec).state_dict()

    net.load_state_dict(cached(path, make))
    return net.requires_grad_(False)


def compare(distance: SetDistance, reference: dict[str, Tensor], features: Tensor, identity: dict[str, Any]) -> Metrics:
    """The rows of one distance. Where an image has features that are not finite, the numbers are null, and say so."""
    bad = int((~features.isfinite().all(1)).sum())
    lost = {"not_finite": bad} if bad else {}
    metrics: Metrics = {}
    for name, number, error, better in distance.compare(reference, features.nan_to_num()):
        number, error = (math.nan, None) if bad else (number, error)
        metrics[name] = metric_row(number, error, better, identity | distance.settings) | lost
    return metrics


def warn_of_few(images: int, data: ImageData, split: Split, extractor: Extractor) -> None:
    """Say on stderr where there are fewer images than features."""
    fewest = min(images, data.size(split))
    if fewest <= extractor.dims and rank_and_world()[0] == 0:
        few = f"lightning-gen: {fewest} images for {extractor.dims} features of {extractor.label}"
        print(f"{few}: a Fréchet distance of so few is biased upward", file=sys.stderr)


def distance_identity(data: ImageData, split: Split, extractor: Extractor) -> dict[str, Any]:
    """What a distance from the images of `split` depends on, but for the generated ones."""
    return {
        **data_identity(data, split),
        "extractor": extractor.kind,
        "weights": extractor.hash,
        "resize": extractor.resize,
        "dtype": extractor.dtype,
        "images": data.size(split),
    }


def reference_of(distance: SetDistance, data: ImageData, split: Split, device: torch.device | str) -> dict[str, Tensor]:
    """What `distance` keeps of the real images, from the cache where it is there. A collective."""
    extractor = distance.extractor
    identity = distance_identity(data, split, extractor) | {"distance": type(distance).__name__, **distance.settings}

    def block(index: int) -> Tensor:
        return extractor(read_block(data, split, index)["image"].to(device))

    def make() -> dict[str, Tensor]:
        return distance.reference(collect(data.size(split), (extractor.dims,), torch.float32, block).cpu())

    return cached(cache_path("reference", identity), make)
