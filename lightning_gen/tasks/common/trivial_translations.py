"""Trivial translations of a set of pairs: what a number of a translation model must be held against."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import ImageData, Split, SuperResolutionData
from lightning_gen.evaluation.collection import read_block
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.neighbours import nearest
from lightning_gen.resampling import METHODS, Method, resample_levels

__all__ = ["enlarge_by", "enlarged_name", "trivial_translations"]


def trivial_translations(data: ImageData, split: Split) -> Iterator[tuple[str, Callable[[int], Tensor]]]:
    """Yield name and block index -> outputs, uint8 (B, C, H, W), of each trivial model.

    baseline-source    the source itself, where it is a picture like the target
    baseline-nearest_pixel, -bilinear, -bicubic, -lanczos    the source enlarged, where it is a smaller image
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
    for method in METHODS if _is_smaller(spec) else ():
        yield enlarged_name(method), _enlarged(data, split, method)
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


def enlarged_name(method: Method) -> str:
    """What the run of a filter is called; ``baseline-nearest`` is the nearest training pair."""
    return f"baseline-{'nearest_pixel' if method == 'nearest' else method}"


def _enlarged(data: ImageData, split: Split, method: Method) -> Callable[[int], Tensor]:
    size = data.spec.height, data.spec.width
    return lambda block: resample_levels(read_block(data, split, block)["source"], size, data.spec.levels, method)


def _is_smaller(spec: ImageSpec) -> bool:
    source = spec.source
    if source is None or (source.channels, source.levels, source.palette) != (spec.channels, spec.levels, None):
        return False
    return spec.palette is None and source.height < spec.height and source.width < spec.width


def enlarge_by(method: Method, data: SuperResolutionData) -> Callable[[Batch], Tensor]:
    """Make what enlarges the source of a batch by a filter."""

    def enlarge(batch: Batch) -> Tensor:
        source = batch["source"]
        height, width = (data.scale * side for side in source.shape[2:])
        return resample_levels(source, (height, width), data.spec.levels, method)

    return enlarge
