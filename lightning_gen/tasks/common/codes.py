"""Codes of the images of a set, with their labels and pixels: what the tasks that look at codes begin with."""

from dataclasses import dataclass

import numpy as np
import torch

from lightning_gen.batches import without_image
from lightning_gen.contracts import ImageData, LatentModule, Split

__all__ = ["Codes", "codes_of"]


@dataclass(frozen=True)
class Codes:
    """Of N images.

    Args:
        z: float (N, Z).
        label: int (N,), None where the set has none.
        pixels: float (N, D), 0..1.
    """

    z: np.ndarray
    label: np.ndarray | None
    pixels: np.ndarray


@torch.no_grad()
def codes_of(module: LatentModule, data: ImageData, split: Split, images: int | None = None) -> Codes:
    """Encode the first `images` of `split`, all where None."""
    z, label, pixels = [], [], []
    for batch in data.batches(split, 256, 0, images):
        z.append(module.encode(batch["image"], without_image(batch)).flatten(1))
        pixels.append(batch["image"].flatten(1).float() / (data.spec.levels - 1))
        label += [batch["label"]] if "label" in batch else []
    labels = torch.cat(label).numpy() if label else None
    return Codes(torch.cat(z).double().numpy(), labels, torch.cat(pixels).double().numpy())
