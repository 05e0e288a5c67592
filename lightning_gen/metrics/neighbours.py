"""Nearest training images: what a model copies lies at distance 0 from one of them."""

import torch
from torch import Tensor

__all__ = ["nearest"]

_ROWS = 1024  # of a block of the matrix of distances


def nearest(features: Tensor, training: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find for each of (M, D) its k nearest of (N, D): distances float64 (M, k), in order, and indices int64 (M, k); k
    is at most N."""
    blocks = [
        # The exact form: by products of matrices a copy would lie at 1e-4, not at 0.
        torch.cdist(part, training.double(), compute_mode="donot_use_mm_for_euclid_dist").topk(
            min(k, len(training)), largest=False
        )
        for part in features.double().split(_ROWS)
    ]
    return torch.cat([block.values for block in blocks]), torch.cat([block.indices for block in blocks])
