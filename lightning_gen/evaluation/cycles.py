"""What comes back of a picture that is translated there and back: rounded to its levels, and through a light JPEG.

A model without pairs may hide the source in faint noise of its output, and read it there (Chu et al. 2017). What is
left of the cycle after a JPEG is what the output shows.
"""

import io
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_gen.batches import to_device
from lightning_gen.contracts import BackTranslationModule, ImageData, Split, TranslationModule
from lightning_gen.evaluation.collection import collect, read_block, seeded_generator
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row
from lightning_gen.images import ImageSpec

__all__ = ["cycle_metrics"]

#: of the JPEG
QUALITY = 90


@torch.no_grad()
def cycle_metrics(
    module: TranslationModule, data: ImageData, split: Split, seed: int = 0, step: Callable[[], None] = lambda: None
) -> Metrics:
    """Measure ``cycle_l1`` of sources there and back, ``cycle_back_l1`` of targets back and there, and, where the
    pictures between are grey or colour of 256 levels, ``cycle_jpeg_l1`` and ``cycle_back_jpeg_l1``: means over the
    pictures of `split` with their standard errors, as shares of the range."""
    assert isinstance(module, BackTranslationModule)
    assert data.spec.source is not None
    image, source = data.spec, data.spec.source
    names = ["cycle_l1", *(["cycle_jpeg_l1"] if _stores(image) else [])]
    names += ["cycle_back_l1", *(["cycle_back_jpeg_l1"] if _stores(source) else [])]

    def block(index: int) -> Tensor:
        batch, chance = to_device(read_block(data, split, index), module.device), seeded_generator(seed, index)
        there, back = module.translate({"source": batch["source"]}, chance), module.translate_back(batch, chance)
        found = {}
        for suffix, change in (("l1", lambda x: x), ("jpeg_l1", through_jpeg)):
            if f"cycle_{suffix}" in names:
                returned = module.translate_back({"image": change(there)}, chance)
                found[f"cycle_{suffix}"] = _l1(returned, batch["source"], source)
            if f"cycle_back_{suffix}" in names:
                returned = module.translate({"source": change(back)}, chance)
                found[f"cycle_back_{suffix}"] = _l1(returned, batch["image"], image)
        return torch.stack([found[name] for name in names], 1)  # (B, names)

    rows = collect(data.size(split), (len(names),), torch.float64, block, step).cpu()
    identity = data_identity(data, split) | {"images": len(rows), "seed": seed}
    metrics: Metrics = {}
    for name, values in zip(names, rows.unbind(1), strict=True):
        error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
        about = identity | ({"jpeg_quality": QUALITY} if "jpeg" in name else {})
        metrics[name] = metric_row(float(values.mean()), error, "lower", about)
    return metrics


def _stores(spec: ImageSpec) -> bool:
    """Whether a JPEG can hold such a picture."""
    return spec.channels in (1, 3) and spec.levels == 256


def _l1(image: Tensor, target: Tensor, spec: ImageSpec) -> Tensor:
    return (image.double() - target.double()).abs().flatten(1).mean(1) / (spec.levels - 1)


def through_jpeg(image: Tensor) -> Tensor:
    """Write and read each picture as JPEG: uint8 (B, 1 or 3, H, W) -> the same."""
    read = [_written(picture.permute(1, 2, 0).cpu().numpy()) for picture in image]
    return torch.stack(read).to(image.device)


def _written(pixels: np.ndarray) -> Tensor:
    stream = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(stream, "JPEG", quality=QUALITY)
    return torch.from_numpy(np.array(Image.open(stream)).reshape(pixels.shape)).permute(2, 0, 1)
