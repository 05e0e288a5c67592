"""Enlarged pictures against the true ones: whole pictures, each of its own size, by the field's own protocol."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_gen.batches import Batch, to_device
from lightning_gen.contracts import Split, SuperResolutionData
from lightning_gen.errors import UserError
from lightning_gen.evaluation.collection import BLOCK, collect
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row
from lightning_gen.images import to_display
from lightning_gen.metrics.luma import scaled_table
from lightning_gen.metrics.pairs import LearnedSimilarity

__all__ = ["enlarged_metrics"]

_NAMES = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "texture_y")


@torch.no_grad()
def enlarged_metrics(
    enlarge: Callable[[Batch], Tensor],
    data: SuperResolutionData,
    split: Split,
    device: torch.device | str = "cpu",
    step: Callable[[], None] = lambda: None,
    similarity: LearnedSimilarity | None = None,
) -> Metrics:
    """Measure ``psnr_y``, ``ssim_y``, ``psnr_rgb``, ``ssim_rgb`` and ``texture_y`` of `scaled_table`: means over the
    pictures of `split`, each weighted alike, with their standard errors. The pictures are rounded to 8 bits, and a
    border of the scale is cut off. A picture that is too small for SSIM makes its mean not finite: it is counted.

    Args:
        enlarge: a batch of one ``source`` -> its image, uint8 (1, C, H, W).
        data: with the pictures.
        split: of them.
        device: where a batch goes first.
        step: called after each block of this process.
        similarity: adds ``lpips``, of the RGB pictures with their border.

    Raises:
        UserError: an output has not the size of its image.
    """
    names = [*_NAMES, *(["lpips"] if similarity else [])]
    levels, count = data.spec.levels, data.pictures(split)

    def row(index: int) -> Tensor:
        batch = to_device(data.picture(split, index), torch.device(device))
        output, image = enlarge({"source": batch["source"]}), batch["image"]
        if output.shape != image.shape:
            raise UserError(f"output is {tuple(output.shape)}, its image {tuple(image.shape)}: want one size")
        table = scaled_table(to_display(output, levels), to_display(image, levels), data.scale)
        if similarity:
            table["lpips"] = similarity(output, image, levels)
        missing = torch.full((1,), math.nan)
        return torch.cat([table.get(name, missing).double().cpu() for name in names])

    def block(index: int) -> Tensor:
        return torch.stack([row(i) for i in range(index * BLOCK, min(count, (index + 1) * BLOCK))])

    table = collect(count, (len(names),), torch.float64, block, step).cpu()
    identity = data_identity(data, split) | {"images": count, "scale": data.scale}
    identity |= {"degradation": data.degradation_words, "shape": None}  # each has its own
    return {name: _row(name, values, identity, data, similarity) for name, values in zip(names, table.T, strict=True)}


def _row(
    name: str, values: Tensor, identity: dict, data: SuperResolutionData, similarity: LearnedSimilarity | None
) -> dict:
    channels = "Y of BT.601, studio range" if name.endswith("_y") else "as stored"
    about = identity | {"channels": channels, "border": 0 if name == "lpips" else data.scale}
    about |= {"weights": similarity.hash} if similarity and name == "lpips" else {}
    bad = int((~values.isfinite()).sum())
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 and not bad else None
    row = metric_row(math.nan if bad else float(values.mean()), error, "lower" if name == "lpips" else "higher", about)
    return row | ({"not_finite": bad} if bad else {})
