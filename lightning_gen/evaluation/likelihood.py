"""Bits per dimension of a split, with what kind of number it is."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_gen.batches import Batch, to_device, without_image
from lightning_gen.contracts import ImageData, LikelihoodModule, Split
from lightning_gen.errors import UserError
from lightning_gen.evaluation.collection import collect, read_block, seeded
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row

__all__ = ["bits_per_dim", "bound_of", "likelihood_metric", "log_probs"]


def bits_per_dim(
    module: LikelihoodModule,
    data: ImageData,
    split: Split = "test",
    seed: int = 0,
    weights: int = 1,
    step: Callable[[], None] = lambda: None,
) -> Metrics:
    """Average over exactly the images of `split`; the row says what kind of number it is and its standard error over
    images.

    Values that are not finite are counted and make the mean null: they are never dropped.
    """
    bound = bound_of(module, weights)

    def block(index: int) -> Tensor:
        return module.to_bits(-log_probs(module, read_block(data, split, index), index, seed, weights))

    return likelihood_metric(collect(data.size(split), (), torch.float64, block, step), bound, data, split, seed)


def likelihood_metric(bits: Tensor, bound: str, data: ImageData, split: Split, seed: int = 0) -> Metrics:
    """Make the row of ``bits_per_dim`` from the values of all images of `split`, float64 (N,)."""
    bad, count = int((~bits.isfinite()).sum()), len(bits)
    identity = data_identity(data, split) | {"bound": bound, "images": count, "seed": seed}
    if bad:
        return {"bits_per_dim": metric_row(float("nan"), None, "lower", identity) | {"not_finite": bad}}
    mean = math.fsum(bits.tolist()) / count  # fsum: the exact sum, rounded once
    spread = math.fsum((b - mean) ** 2 for b in bits.tolist())
    error = math.sqrt(spread / (count - 1) / count) if count > 1 else None
    return {"bits_per_dim": metric_row(mean, error, "lower", identity)}


@torch.no_grad()
def log_probs(module: LikelihoodModule, batch: Batch, block: int, seed: int = 0, weights: int = 1) -> Tensor:
    """Compute the log-probability of each image of `batch`, which is block `block` of its set, nats, float64 (B,); the
    importance-weighted bound of it where `weights` is above 1 (Burda et al. 2016, Eq. 8)."""
    batch = to_device(batch, module.device)
    with seeded(module.device, seed, block):
        draws = [module.log_prob(batch["image"], without_image(batch)).double() for _ in range(weights)]
    return torch.stack(draws).logsumexp(0) - math.log(weights)


def bound_of(module: LikelihoodModule, weights: int = 1) -> str:
    """Name the bound that `weights` draws give.

    Raises:
        UserError: more draws than one change nothing, as the likelihood is exact.
    """
    if weights == 1:
        return module.bound
    if module.bound == "exact":
        raise UserError(f"evaluation.weights is {weights}: {type(module).__name__} has an exact likelihood, want 1")
    return f"iwae-{weights}"
