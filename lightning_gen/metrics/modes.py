"""How much of a set a model covers: spread within a batch, and modes where they are known beforehand."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Coverage", "coverage", "nearest_mode", "spread", "spread_within"]


class Coverage(NamedTuple):
    """`modes` that are reached, the Kullback-Leibler divergence `kl` of their shares from the real ones, nats, and the
    share of images that lie `within` some mode."""

    modes: int
    kl: float
    within: float


def spread(x: Tensor) -> Tensor:
    """(N, D) -> scalar, mean Euclidean distance of two different points; 0 where all are one."""
    count = len(x)
    return _distances(x).sum() / (count * max(count - 1, 1))


def spread_within(x: Tensor, group: Tensor) -> Tensor:
    """(N, D) and groups (N,) -> scalar, mean Euclidean distance of two different points of one group; 0 where there are
    none."""
    pairs = (group[:, None] == group) & ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return _distances(x)[pairs].sum() / pairs.sum().clamp(min=1)


def _distances(x: Tensor) -> Tensor:
    # Centred, because the expansion of a distance loses its digits to a large mean.
    centred = x - x.mean(0)
    return torch.cdist(centred, centred)


def nearest_mode(x: Tensor, centre: Tensor, radius: float) -> Tensor:
    """Points (N, D) and centres (K, D) -> int64 (N,), the index of the nearest centre, -1 where it is farther away
    than `radius`."""
    # The exact form: products of matrices lose their digits to a large mean.
    distance, index = torch.cdist(x, centre, compute_mode="donot_use_mm_for_euclid_dist").min(1)
    return torch.where(distance <= radius, index, -1)


def coverage(mode: Tensor, real: Tensor, fair: float = 0.1) -> Coverage:
    """What indices of modes say of a generated set.

    Args:
        mode: int64 (N,), of each image, 0..K-1, -1 for none.
        real: (K,), probabilities of the modes in the real set, above 0.
        fair: a mode is reached where it has this part of its real share, 0 to 1.
    """
    found = mode[mode >= 0]
    counts = torch.bincount(found, minlength=len(real)).double()
    share = counts / max(len(found), 1)
    # Without any image in a mode there is no distribution: the worst that one mode alone can do stands for it.
    worst = float(-real.double().log().min())
    kl = float(torch.special.xlogy(share, share / real.double()).sum()) if len(found) else worst
    reached = counts / len(mode) >= fair * real.double()
    return Coverage(int((reached & (counts > 0)).sum()), max(kl, 0.0), len(found) / len(mode))
