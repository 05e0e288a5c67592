"""R-precision: is a picture nearer to its own caption than to those of other pictures? (Xu et al. 2018, Section 4.1).

The published one has two flaws that are avoided here: the towers must be others than those the generator learned from,
and wrong captions are those of any other pictures, not of other classes.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import ImageData, Split
from lightning_gen.evaluation.collection import collect, read_block, seeded_generator
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row

__all__ = ["retrieval_metrics"]

#: captions that a picture's own is found among
_AMONG = 100


@torch.no_grad()
def retrieval_metrics(
    of_pictures: Callable[[Tensor], Tensor],
    of_texts: Callable[[list[str]], Tensor],
    label: str,
    draw: Callable[[int], Tensor] | None,
    data: ImageData,
    split: Split,
    count: int,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> Metrics:
    """Measure ``r_precision_LABEL``, the share of pictures whose own caption is the nearest by cosine among 100 others'
    captions that differ from it, drawn at random; with fewer captions, all of them. The row has the real pictures of
    the same captions as ceiling, and pictures of other captions as floor. Higher is better.

    Args:
        of_pictures: uint8 (B, C, H, W) -> vectors of length 1.
        of_texts: captions -> the same.
        label: which towers, part of the name and of the identity.
        draw: block index -> a picture for each caption of the block; None: the real pictures themselves.
        data: with captions.
        split: of the captions.
        count: captions, from the first.
        seed: of pictures and wrong captions; part of the identity.
        step: called after each block of this process.
    """
    texts: list[str] = [text for batch in _blocks(data, split, count) for text in batch["text"]][:count]
    vectors = torch.cat([of_texts(texts[i : i + 256]).cpu() for i in range(0, count, 256)])

    def block(index: int) -> Tensor:
        real = read_block(data, split, index)["image"]
        found = of_pictures(real) if draw is None else torch.cat([of_pictures(draw(index)), of_pictures(real)], 1)
        return found.float()

    width = vectors.shape[1] * (1 if draw is None else 2)
    found = collect(count, (width,), torch.float32, block, step).cpu()
    own, real = found[:, : vectors.shape[1]], found[:, -vectors.shape[1] :]
    wrong, among = _others(texts, seed)
    hits = {who: _first(x, vectors, wrong) for who, x in (("", own), ("ceiling", real), ("floor", own.roll(1, 0)))}
    identity: dict[str, Any] = data_identity(data, split)
    identity |= {"samples": count, "images": count, "seed": seed, "towers": label, "captions": among}
    error = float(hits[""].std() / math.sqrt(count)) if count > 1 else None
    row = metric_row(float(hits[""].mean()), error, "higher", identity)
    beside = {"ceiling": float(hits["ceiling"].mean())} if draw is not None else {}
    return {f"r_precision_{label}": row | beside | {"floor": float(hits["floor"].mean())}}


def _blocks(data: ImageData, split: Split, count: int) -> list[Batch]:
    return list(data.batches(split, 256, 0, count))


def _others(texts: list[str], seed: int) -> tuple[Tensor, int]:
    """For each caption the rows of others that differ from it, int64 (N, n - 1), and n."""
    chance = seeded_generator(seed, 0)
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    first = torch.tensor([texts.index(text) for text in number])  # a row of each different caption
    among = min(_AMONG, len(number))
    score = torch.rand(len(texts), len(number), generator=chance)
    own = torch.tensor([number[text] for text in texts])
    score[torch.arange(len(texts)), own] = 2.0  # comes last
    return first[score.argsort(1)[:, : among - 1]], among


def _first(pictures: Tensor, vectors: Tensor, wrong: Tensor) -> Tensor:
    """Whether each picture is nearer to its own caption than to all wrong ones, float64 (N,)."""
    right = (pictures * vectors).sum(1)
    others = (pictures[:, None] * vectors[wrong]).sum(2)  # (N, n - 1)
    return (right[:, None] > others).all(1).double()
