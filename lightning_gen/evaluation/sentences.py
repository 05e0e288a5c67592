"""Whether pictures of sentences show what the sentence says: read off by a judge that learned from drawn pictures."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_gen.batches import join, select_rows
from lightning_gen.cache import cache_path, cached
from lightning_gen.contracts import DescribedData, GenerativeModule, ImageData, Split
from lightning_gen.evaluation.collection import BLOCK, collect, read_block, sample_block, untouched
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.judge import Judge, fit_judge

__all__ = ["JudgeFactory", "attribute_metrics", "diversity", "fitted_judge", "pictures_of_captions"]

#: bytes of pictures that are kept between the metrics that look at them
_KEPT = 512 << 20
#: captions, and pictures of each, whose variety is measured
_CAPTIONS, _PICTURES = 16, 4
#: called with the spec of the images and, for each attribute, how many words there are
JudgeFactory = Callable[[ImageSpec, Sequence[int]], Judge]


def pictures_of_captions(
    module: GenerativeModule, data: ImageData, split: Split, seed: int = 0
) -> Callable[[int], Tensor]:
    """Make what draws block b: one picture for each caption b*BLOCK to (b+1)*BLOCK of `split`, a function of (seed, b)
    alone; the last block may be smaller. Each is drawn once as far as memory allows."""
    known: dict[int, Tensor] = {}
    keep = data.size(split) * data.spec.dims <= _KEPT

    def draw(block: int) -> Tensor:
        if block in known:
            return known[block].to(module.device)
        texts = read_block(data, split, block)["text"]
        padded = [texts[i % len(texts)] for i in range(BLOCK)]
        pictures = sample_block(module, block, seed, condition={"text": padded})[: len(texts)]
        data.spec.check(pictures)
        if keep:
            known[block] = pictures.cpu()
        return pictures

    return draw


def fitted_judge(make: JudgeFactory, data: ImageData, device: torch.device | str = "cpu") -> Judge:
    """Train the judge of a set of drawn pictures on `device`, once per kind of set, size and shape of the network. A
    collective."""
    assert isinstance(data, DescribedData)
    with untouched(torch.device(device)):
        net = make(data.spec, tuple(len(attribute.near) for attribute in data.described))
    shape = {key: list(value.shape) for key, value in net.state_dict().items()}
    about = {"kind": "judge", "data": data.name, "shape": list(data.spec.shape), "levels": data.spec.levels}
    about |= {"net": shape, "batches": net.batches, "recipe": 1}
    path = cache_path("extractors", about)
    net.load_state_dict(cached(path, lambda: fit_judge(net, data.draw_described, device).state_dict()))
    return net.eval().requires_grad_(False)


def attribute_metrics(
    judge: Judge,
    draw: Callable[[int], Tensor],
    data: ImageData,
    split: Split,
    count: int,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> Metrics:
    """Measure the share of pictures on which the judge reads the word that the sentence says: ``says_NAME_`` for each
    attribute, ``says_all_`` for all together, ``says_near_`` for all together where the word or one next to it counts,
    ``says_new_`` for all together on sentences whose combination no training picture had. Each row has a ceiling, the
    judge on the real pictures of the same sentences, and a floor, real pictures of other sentences. Higher is better.

    Args:
        judge: of the set.
        draw: block index -> a picture for each caption of the block.
        data: with captions and known attributes.
        split: of the captions.
        count: captions, from the first.
        seed: of the pictures; part of the identity.
        step: called after each block of this process.
    """
    assert isinstance(data, DescribedData)
    parts, described = len(data.described), data

    def block(index: int) -> Tensor:
        pictures, batch = draw(index), read_block(data, split, index)
        judge.to(pictures.device)
        said, real = described.described_in(batch), judge(batch["image"].to(pictures.device)).cpu()
        found, new = judge(pictures).cpu(), described.left_out(batch["text"])
        rows = [said, found, real, new[:, None].long()]
        return torch.cat(rows, 1).to(pictures.device)

    table = collect(count, (3 * parts + 1,), torch.float64, block, step).cpu().long()
    said, found, real, new = table.split((parts, parts, parts, 1), 1)
    hits = {
        "": _hits(data, found, said),
        "ceiling": _hits(data, real, said),
        "floor": _hits(data, real, said.roll(1, 0)),
    }
    identity = data_identity(data, split) | {"samples": count, "images": count, "seed": seed, "judge": judge.label[-8:]}
    metrics: Metrics = {}
    for name in hits[""]:
        rows = {who: values[name] for who, values in hits.items()}
        metrics[f"says_{name}_{judge.label}"] = _row(rows, identity)
    if bool(new.any()):
        rows = {who: values["all"][new[:, 0] > 0] for who, values in hits.items()}
        metrics[f"says_new_{judge.label}"] = _row(rows, identity | {"samples": int(new.sum())})
    return metrics


def _hits(data: DescribedData, found: Tensor, said: Tensor) -> dict[str, Tensor]:
    """Whether each picture shows what is said, float64 (N,) by name."""
    right = (found == said).double()  # (N, P)
    near = torch.stack([a.near[found[:, i], said[:, i]] for i, a in enumerate(data.described)], 1).double()
    each = {attribute.name: right[:, i] for i, attribute in enumerate(data.described)}
    return {"all": right.prod(1), **each, "near": near.prod(1)}


def _row(values: dict[str, Tensor], identity: dict[str, Any]) -> dict[str, Any]:
    own = values[""]
    error = float(own.std() / math.sqrt(len(own))) if len(own) > 1 else None
    beside = {who: round(float(rows.mean()), 4) for who, rows in values.items() if who}
    return metric_row(float(own.mean()), error, "higher", identity) | beside


def diversity(judge: Judge, module: GenerativeModule, data: ImageData, split: Split, seed: int = 0) -> Metrics:
    """Measure ``variety_``: the mean distance between pictures of one sentence in the features of the judge, by that
    between drawn pictures of which the same sentence is true. 0: the noise changes nothing."""
    assert isinstance(data, DescribedData)
    batch = read_block(data, split, 0)
    rows = join(
        [select_rows(batch, i, i + 1) for i in range(min(_CAPTIONS, len(batch["text"]))) for _ in range(_PICTURES)]
    )
    count = len(rows["text"])
    padded = [rows["text"][i % count] for i in range(BLOCK)]
    made = sample_block(module, 0, seed, condition={"text": padded})[:count]
    real = data.redraw(data.described_in(rows), 77_000_000 + seed)
    judge.to(made.device)
    own, usual = (_spread(judge.features(x.to(made.device))) for x in (made, real))
    about = {"samples": count, "images": count, "seed": seed, "judge": judge.label[-8:], "pictures": _PICTURES}
    return {f"variety_{judge.label}": metric_row(own / usual, None, "higher", data_identity(data, split) | about)}


def _spread(features: Tensor) -> float:
    """(N * _PICTURES, D), the pictures of one sentence side by side -> their mean distance."""
    groups = features.double().unflatten(0, (-1, _PICTURES))
    distance = torch.cdist(groups, groups).sum((1, 2)) / (_PICTURES * (_PICTURES - 1))
    return float(distance.mean())
