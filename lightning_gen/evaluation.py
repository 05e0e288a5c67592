"""The one protocol that turns a trained model into numbers."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lightning_gen.base import GenerativeModule, ImageData, LikelihoodModule, Split

__all__ = ["BLOCK", "evaluate_likelihood", "sample_blocks"]

#: Images are drawn in blocks of this size, each with its own seed, so that neither the number of processes nor the
#: caller's batch size changes a single pixel.
BLOCK = 64


@torch.no_grad()
def sample_blocks(module: GenerativeModule, images: int, seed: int = 0, temperature: float = 1.0) -> Iterator[Tensor]:
    """Exactly `images` samples, uint8, in blocks; block b is a function of (seed, b) alone."""
    for block, start in enumerate(range(0, images, BLOCK)):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + block)
        yield module.sample(BLOCK, temperature=temperature, generator=generator)[: images - start]


@torch.no_grad()
def evaluate_likelihood(
    module: LikelihoodModule, data: ImageData, split: Split = "test", seed: int = 0
) -> dict[str, Any]:
    """Bits/dim over exactly the images of `split`, in float64, with what kind of number it is.

    Values that are not finite are counted and make the mean NaN: they are never dropped.
    """
    total, count, bad = 0.0, 0, 0
    with torch.random.fork_rng(devices=[]):
        for block, batch in enumerate(data.batches(split, BLOCK)):
            torch.manual_seed(seed * 1_000_003 + block)
            bits = module.bits_per_dim(batch["image"].to(module.device)).double()
            bad += int((~bits.isfinite()).sum())
            total, count = total + float(bits.sum()), count + len(bits)
    return {
        "bits_per_dim": total / count,
        "bound": module.bound,
        "images": count,
        "not_finite": bad,
        "split": split,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "levels": data.spec.levels,
        "seed": seed,
    }
