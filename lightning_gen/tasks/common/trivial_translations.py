"""Trivial translations of a set of pairs: what a number of a translation model must be held against."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lightning_gen.contracts import ImageData, Split
from lightning_gen.evaluation.collection import read_block
from lightning_gen.metrics.neighbours import nearest

__all__ = ["trivial_translations"]


def trivial_translations(data: ImageData, split: Split) -> Iterator[tuple[str, Callable[[int], Tensor]]]:
    """Yield name and block index -> outputs, uint8 (B, C, H, W), of each trivial model.

    baseline-source    the source itself, where it is a picture like the target
    baseline-mean      the mean target of the training pairs, rounded
    baseline-nearest   the target of the training pair whose source is nearest, by Euclidean distance of the pixels;
                       where the training has no pairs, the nearest training target
    baseline-target    the true target: what a perfect model would get
    """
    spec, source = data.spec, data.spec.source
    assert source is not None
    train = list(data.batches("train", 256))
    targets = torch.cat([batch["image"] for batch in train])
    if (source.shape, source.levels, source.palette) == (spec.shape, spec.levels, spec.palette):
        yield "baseline-source", lambda block: read_block(data, split, block)["source"]
    mean = targets.double().mean(0).round().to(torch.uint8)
    yield "baseline-mean", lambda block: mean.expand(len(read_block(data, split, block)["image"]), -1, -1, -1)
    known = torch.cat([batch["source"] for batch in train]) if data.paired_in("train") else targets
    if known.shape[1:] == source.shape:
        rows = known.flatten(1).float()

        def nearest_target(block: int) -> Tensor:
            sources = read_block(data, split, block)["source"].flatten(1).float()
            return targets[nearest(sources, rows, 1)[1][:, 0]]

        yield "baseline-nearest", nearest_target
    yield "baseline-target", lambda block: read_block(data, split, block)["image"]
