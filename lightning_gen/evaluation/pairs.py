"""How near the outputs of a translation are to their targets, pair by pair."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_gen.batches import to_device, without_image
from lightning_gen.contracts import ImageData, Split, TranslationModule
from lightning_gen.evaluation.collection import collect, read_block, seeded_generator
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row
from lightning_gen.metrics.pairs import SMALLEST_SIDE, pair_table

__all__ = ["pair_metrics", "translate_block"]


@torch.no_grad()
def translate_block(module: TranslationModule, data: ImageData, split: Split, block: int, seed: int = 0) -> Tensor:
    """Translate the sources block*BLOCK to (block+1)*BLOCK of `split`, uint8 (B, C, H, W): a function of (seed, block)
    alone. The last block may be smaller."""
    condition = without_image(to_device(read_block(data, split, block), module.device))
    return module.translate(condition, seeded_generator(seed, block))


def pair_metrics(
    module: TranslationModule, data: ImageData, split: Split, seed: int = 0, step: Callable[[], None] = lambda: None
) -> Metrics:
    """Measure ``psnr`` (dB), ``l1`` (0..1 of the range) and, from 11 pixels on, ``ssim``: means over all pairs of
    `split` with their standard errors, and what the set measures exactly. Both pictures are rounded to their levels.

    A PSNR of equal pictures is infinite, and so is their mean: it is counted as not finite, never dropped.
    """
    names = ["psnr", "l1", *(["ssim"] if min(data.spec.shape[1:]) >= SMALLEST_SIDE else []), *data.exact_names]

    def block(index: int) -> Tensor:
        output = translate_block(module, data, split, index, seed)
        data.spec.check(output)
        batch = to_device(read_block(data, split, index), output.device)
        table = pair_table(output, batch["image"], data.spec.levels) | data.exact(output, batch)
        return torch.stack([table[name].double() for name in names], 1)  # (B, names)

    rows = collect(data.size(split), (len(names),), torch.float64, block, step).cpu()
    identity = data_identity(data, split) | {"images": len(rows), "seed": seed, "channels": "as stored", "border": 0}
    metrics: Metrics = {}
    for name, values in zip(names, rows.unbind(1), strict=True):
        better = "lower" if name == "l1" else "higher"
        bad = int((~values.isfinite()).sum())
        error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 and not bad else None
        row = metric_row(float("nan") if bad else float(values.mean()), error, better, identity)
        metrics[name] = row | ({"not_finite": bad} if bad else {})
    return metrics
