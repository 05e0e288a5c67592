"""Fidelity and diversity apart: precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al.
2020), all from distances to the k-th nearest neighbour."""

from typing import Any, final

import torch
from torch import Tensor

from lightning_gen.errors import check_counts
from lightning_gen.metrics.distances import SetDistance, Value
from lightning_gen.metrics.extractors import Extractor

__all__ = ["FidelityDiversity", "fidelity_diversity", "radii", "recalled"]

_ROWS = 2048  # of a block of the matrix of distances


def radii(features: Tensor, k: int) -> Tensor:
    """Compute the distance of each point of (N, D) to its k-th nearest other point, (N,)."""
    features = features - _centre(features)
    blocks = [torch.cdist(block, features).kthvalue(k + 1).values for block in features.split(_ROWS)]
    return torch.cat(blocks)  # k + 1: each point is its own nearest one


def _centre(features: Tensor) -> Tensor:
    """A point near the mean of (N, D), (D,): distances by products of matrices lose their digits to a large mean. It is
    a multiple of a power of two, so that whole numbers stay exact, and ties remain ties."""
    spread = features.std(0).clamp(min=torch.finfo(features.dtype).tiny) if len(features) > 1 else features[0] * 0 + 1
    step = torch.exp2(spread.log2().floor().clamp(min=-64))
    return (features.mean(0) / step).round() * step


def fidelity_diversity(real: Tensor, real_radii: Tensor, generated: Tensor, k: int) -> dict[str, float]:
    """Compute the four numbers for float64 features (N, D) and (M, D). A ball is open: a point at exactly its radius
    lies outside, as in the code of Naeem et al.

    precision   share of generated images inside the ball of some real image (Kynkäänniemi et al., Eq. 1-2)
    recall      share of real images inside the ball of some generated image
    density     balls of real images around a generated one, over k; may exceed 1 (Naeem et al., Eq. 4)
    coverage    share of real images whose ball holds a generated image (Naeem et al., Eq. 5)
    """
    centre, generated_radii = _centre(real), radii(generated, k)
    real, generated = real - centre, generated - centre
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    recalled, inside = covered.clone(), []
    for block, radius in zip(generated.split(_ROWS), generated_radii.split(_ROWS), strict=True):
        distance = torch.cdist(block, real)
        within = distance < real_radii
        inside.append(within.sum(1))
        covered |= within.any(0)
        recalled |= (distance < radius[:, None]).any(0)
    balls = torch.cat(inside).double()
    return {
        "precision": float((balls > 0).double().mean()),
        "recall": float(recalled.double().mean()),
        "density": float(balls.mean() / k),
        "coverage": float(covered.double().mean()),
    }


def recalled(real: Tensor, generated: Tensor, k: int) -> Tensor:
    """Say of each real image, float64 (N, D), whether it lies inside the ball of some generated one, (M, D): bool
    (N,), whose mean is the recall."""
    centre, reach = _centre(real), radii(generated, k)
    real, generated = real - centre, generated - centre
    found = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for block, radius in zip(generated.split(_ROWS), reach.split(_ROWS), strict=True):
        found |= (torch.cdist(block, real) < radius[:, None]).any(0)
    return found


@final
class FidelityDiversity(SetDistance):
    """``precision_``, ``recall_``, ``density_`` and ``coverage_<extractor>``. Higher is better.

    Args:
        extractor: see `SetDistance`.
        k: neighbours, 1 or more.
    """

    higher_is_better = True

    def __init__(self, extractor: Extractor, k: int = 5, **kwargs: Any) -> None:
        check_counts("evaluation.distances", k=k)
        super().__init__(extractor, **kwargs)
        self.k = k

    @property
    def settings(self) -> dict[str, int]:
        return {"k": self.k}

    def reference(self, real: Tensor) -> dict[str, Tensor]:
        real = real.double()
        return {"features": real.contiguous(), "radii": radii(real, min(self.k, len(real) - 1))}

    def compare(self, reference: dict[str, Tensor], generated: Tensor) -> list[Value]:
        k = min(self.k, len(reference["features"]) - 1, len(generated) - 1)
        numbers = fidelity_diversity(reference["features"], reference["radii"], generated.double(), k)
        return [Value(f"{name}_{self.extractor.label}", value, None, "higher") for name, value in numbers.items()]
