"""How near the outputs of a translation are to their targets, pair by pair."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_gen.batches import to_device, without_image
from lightning_gen.contracts import ImageData, Split, TranslationModule
from lightning_gen.evaluation.collection import collect, read_block, seeded_generator
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row
from lightning_gen.metrics.pairs import SMALLEST_SIDE, LearnedSimilarity, pair_table

__all__ = ["block_of_outputs", "pair_metrics"]

#: bytes of outputs that are kept between the metrics that look at them
_KEPT = 512 << 20


@torch.no_grad()
def translate_block(module: TranslationModule, data: ImageData, split: Split, block: int, seed: int = 0) -> Tensor:
    """Translate the sources block*BLOCK to (block+1)*BLOCK of `split`, uint8 (B, C, H, W): a function of (seed, block)
    alone. The last block may be smaller."""
    condition = without_image(to_device(read_block(data, split, block), module.device))
    return module.translate(condition, seeded_generator(seed, block))


def block_of_outputs(
    module: TranslationModule, data: ImageData, split: Split, seed: int = 0
) -> Callable[[int], Tensor]:
    """Make what gives the outputs of each block, `translate_block`, each translated once as far as memory allows."""
    known: dict[int, Tensor] = {}
    keep = data.size(split) * data.spec.dims <= _KEPT

    def draw(block: int) -> Tensor:
        if block in known:
            return known[block].to(module.device)
        output = translate_block(module, data, split, block, seed)
        data.spec.check(output)
        if keep:
            known[block] = output.cpu()
        return output

    return draw


def pair_metrics(
    draw: Callable[[int], Tensor],
    data: ImageData,
    split: Split,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
    similarity: LearnedSimilarity | None = None,
) -> Metrics:
    """Measure ``psnr`` (dB), ``l1`` (0..1 of the range) and, from 11 pixels on, ``ssim``: means over all pairs of
    `split` with their standard errors, and what the set measures exactly. Both pictures are rounded to their levels.

    A PSNR of equal pictures is infinite, and so is their mean: it is counted as not finite, never dropped.

    Args:
        draw: block index -> outputs, uint8 (B, C, H, W).
        data: with the targets.
        split: of the sources.
        seed: of the outputs; part of the identity.
        step: called after each block of this process.
        similarity: adds ``lpips``.
    """
    names = ["psnr", "l1", *(["ssim"] if min(data.spec.shape[1:]) >= SMALLEST_SIDE else []), *data.exact_names]
    names += ["lpips"] if similarity else []

    def block(index: int) -> Tensor:
        output = draw(index)
        batch = to_device(read_block(data, split, index), output.device)
        table = pair_table(output, batch["image"], data.spec.levels) | data.exact(output, batch)
        if similarity:
            table["lpips"] = similarity(output, batch["image"], data.spec.levels)
        return torch.stack([table[name].double() for name in names], 1)  # (B, names)

    rows = collect(data.size(split), (len(names),), torch.float64, block, step).cpu()
    identity = data_identity(data, split) | {"images": len(rows), "seed": seed, "channels": "as stored", "border": 0}
    metrics: Metrics = {}
    for name, values in zip(names, rows.unbind(1), strict=True):
        better = "lower" if name in ("l1", "lpips") else "higher"
        about = identity | ({"weights": similarity.hash} if similarity and name == "lpips" else {})
        about |= {"window": "inside"} if name == "ssim" else {}
        bad = int((~values.isfinite()).sum())
        error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 and not bad else None
        row = metric_row(float("nan") if bad else float(values.mean()), error, better, about)
        metrics[name] = row | ({"not_finite": bad} if bad else {})
    return metrics
