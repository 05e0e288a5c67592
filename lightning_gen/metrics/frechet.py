"""The Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, Eq. 6)."""

from typing import final

import torch
from torch import Tensor

from lightning_gen.metrics.distances import SetDistance, Value

__all__ = ["FrechetDistance", "factor", "frechet_distance", "nuclear_norm"]


def factor(features: Tensor) -> Tensor:
    """Factor a covariance, (N, D) -> F (D, K), float64, with covariance F F^T: the centred features themselves where N
    <= D (the Gram form, K = N), the Cholesky factor of the covariance where N > D (K = D), and where that is singular
    the eigenvectors that have a variance (K < D). K = D therefore means full rank."""
    x = features.double()
    x = (x - x.mean(0)) / max(len(x) - 1, 1) ** 0.5
    if len(x) <= x.shape[1]:
        return x.T
    covariance = x.T @ x
    root, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return root
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    kept[0] = False  # singular, whatever rounding says
    return vectors[:, kept] * values[kept].sqrt()


def frechet_distance(mean_a: Tensor, factor_a: Tensor, mean_b: Tensor, factor_b: Tensor) -> float:
    """Compute |m_a - m_b|^2 + tr(C_a) + tr(C_b) - 2 tr((C_a C_b)^(1/2)), in float64.

    The last trace is the sum of the singular values of F_a^T F_b (`nuclear_norm`), so no root of a product that is not
    symmetric is ever taken, and nothing imaginary is thrown away.

    Args:
        mean_a: (D,).
        factor_a: (D, K) with C_a = F_a F_a^T, from `factor`.
        mean_b: (D,).
        factor_b: (D, L).
    """
    cross = nuclear_norm(factor_a.T @ factor_b)
    distance = (mean_a - mean_b).square().sum() + factor_a.square().sum() + factor_b.square().sum() - 2 * cross
    return max(float(distance), 0.0)  # rounding may leave -1e-13 where the sets are equal


def nuclear_norm(matrix: Tensor) -> Tensor:
    """Compute the sum of the singular values of (K, L).

    Of a square one, whose factors have full rank, as roots of the eigenvalues of its Gram matrix: less than half the
    time, and right to 1e-11 up to a condition of 1e10. Zeros would become roots of rounding errors there, so any other
    has its singular values taken.
    """
    if matrix.shape[0] != matrix.shape[1]:
        return torch.linalg.svdvals(matrix).sum()
    return torch.linalg.eigvalsh(matrix.T @ matrix).clamp(min=0).sqrt().sum()


@final
class FrechetDistance(SetDistance):
    """``fid`` with the 2015 Inception weights, ``fd_<extractor>`` with any other features. Lower is better.

    Biased upward by about D/N: numbers of different sample counts are not comparable.
    """

    higher_is_better = False

    def reference(self, real: Tensor) -> dict[str, Tensor]:
        return {"mean": real.double().mean(0), "factor": factor(real).contiguous()}

    def compare(self, reference: dict[str, Tensor], generated: Tensor) -> list[Value]:
        mean = generated.double().mean(0)
        value = frechet_distance(reference["mean"], reference["factor"], mean, factor(generated))
        return [Value(f"{self.extractor.frechet}_{self.extractor.label}", value, None, "lower")]
