"""Samples beside their nearest training images, so that copying shows."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_gen.contracts import GenerativeModule, ImageData, Split
from lightning_gen.evaluation.collection import sample_blocks
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.files import write_json, write_png
from lightning_gen.images import grid
from lightning_gen.metrics.neighbours import nearest

__all__ = ["write_neighbours"]

#: rows and columns of the picture; samples that are counted; training images that are searched
_SHOWN, _NEAREST, _SAMPLES, _TRAINING = 10, 5, 256, 20000


@torch.no_grad()
def write_neighbours(folder: Path, module: GenerativeModule, data: ImageData, evaluation: Evaluation) -> dict[str, Any]:
    """Write ``neighbours.png`` (a row per sample: the sample, then its nearest training images in the features of the
    evaluation) and ``neighbours.json`` into the run folder.

    Returns:
        samples and training images looked at; ``copies``, samples that equal a training image in every pixel;
        ``ratio``, the median distance from the nearest training image of samples, by that of held-out real images.
    """
    extractor = evaluation.extractor_of(data, module.device)
    sample = torch.cat(list(sample_blocks(module, min(evaluation.samples, _SAMPLES), evaluation.seed))).cpu()
    training = _images(data, "train", _TRAINING)
    held_out = _images(data, evaluation.split, _SAMPLES)

    def features(image: Tensor) -> Tensor:
        return torch.cat([extractor(part.to(module.device)).cpu() for part in image.split(256)])

    known = features(training)
    distance, index = nearest(features(sample), known, _NEAREST)
    usual = nearest(features(held_out), known, 1)[0].median()
    about = {
        "samples": len(sample),
        "training": len(training),
        "extractor": extractor.label,
        "copies": int((training[index[:, 0]] == sample).flatten(1).all(1).sum()),
        "ratio": round(float(distance[:, 0].median() / usual), 4) if usual else None,
        "images_seen": module.images_seen,
    }
    rows = torch.cat([torch.cat([sample[i : i + 1], training[index[i]]]) for i in range(min(_SHOWN, len(sample)))])
    write_png(folder / "neighbours.png", grid(rows, data.spec.levels, columns=1 + index.shape[1]).numpy())
    write_json(folder / "neighbours.json", about)
    return about


def _images(data: ImageData, split: Split, count: int) -> Tensor:
    return torch.cat([batch["image"] for batch in data.batches(split, 256, 0, min(count, data.size(split)))])
