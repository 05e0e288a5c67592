"""What a segmenter of the real photos reads off the outputs of labels -> photo, against their label map."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_gen.batches import join
from lightning_gen.cache import cache_path, cached
from lightning_gen.contracts import ImageData, Split
from lightning_gen.evaluation.collection import collect, read_block, untouched
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row
from lightning_gen.images import ImageSpec, label_map
from lightning_gen.metrics.segmenter import Segmenter, fit_segmenter

__all__ = ["SegmenterFactory", "fitted_segmenter", "is_from_labels", "segment_metrics"]

#: called with the spec of the images and the number of classes
SegmenterFactory = Callable[[ImageSpec, int], Segmenter]
#: a segmenter learns from at most this many pairs
_LEARN = 5000


def is_from_labels(data: ImageData) -> bool:
    """Whether the sources are label maps and the images are none."""
    source = data.spec.source
    return source is not None and source.palette is not None and data.spec.palette is None


def fitted_segmenter(make: SegmenterFactory, data: ImageData) -> Segmenter:
    """Train a segmenter on the real training pairs, once per data set and shape of the network. A collective."""
    source = data.spec.source
    assert source is not None
    assert source.palette is not None
    with untouched(torch.device("cpu")):
        net = make(data.spec, len(source.palette))
    shape = {key: list(value.shape) for key, value in net.state_dict().items()}
    recipe = {"kind": "segmenter", "steps": net.steps, "shape": shape, "recipe": 1}

    def fit() -> dict[str, Tensor]:
        batch = join(list(data.batches("train", 256, 0, _LEARN)))
        return fit_segmenter(net, batch["image"], label_map(batch["source"])).state_dict()

    net.load_state_dict(cached(cache_path("extractors", {**data_identity(data, "train"), **recipe}), fit))
    return net.eval().requires_grad_(False)


def segment_metrics(
    segmenter: Segmenter,
    draw: Callable[[int], Tensor],
    data: ImageData,
    split: Split,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> Metrics:
    """Measure how much of the label maps is found in the outputs (the FCN score of Isola et al. 2017, Section 4.1).

    ``accuracy_``, the share of pixels whose class is right, a mean over pictures with its standard error; ``iou_``,
    intersection over union of all pixels, a mean over the classes that there are. 0 to 1; higher is better.

    Args:
        segmenter: trained on the real pairs.
        draw: block index -> outputs, uint8 (B, C, H, W).
        data: with label maps as sources.
        split: of the sources.
        seed: of the outputs; part of the identity.
        step: called after each block of this process.
    """
    classes = segmenter.classes

    def block(index: int) -> Tensor:
        output = draw(index)
        segmenter.to(output.device)
        found = segmenter.segment(output)
        true = label_map(read_block(data, split, index)["source"]).to(output.device)
        return torch.stack([_counts(a, b, classes) for a, b in zip(found, true, strict=True)])

    table = collect(data.size(split), (3, classes), torch.float64, block, step).cpu()  # found, true, both
    shares = table[:, 2].sum(1) / table[:, 1].sum(1)
    error = float(shares.std() / math.sqrt(len(shares))) if len(shares) > 1 else None
    found, true, both = table.sum(0)
    iou = (both / (found + true - both))[true > 0]
    identity = data_identity(data, split) | {"images": len(table), "seed": seed, "segmenter": segmenter.label[-8:]}
    return {
        f"accuracy_{segmenter.label}": metric_row(float(shares.mean()), error, "higher", identity),
        f"iou_{segmenter.label}": metric_row(float(iou.mean()), None, "higher", identity),
    }


def _counts(found: Tensor, true: Tensor, classes: int) -> Tensor:
    """Pixels of each class in one map and in the other, int64 (H, W), and in both at one place: int64 (3, K)."""
    both = true[found == true]
    return torch.stack([torch.bincount(part.flatten(), minlength=classes) for part in (found, true, both)])
