"""The kernel distance: squared maximum mean discrepancy with a cubic kernel (Binkowski et al. 2018, Section 4)."""

from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.metrics.distances import SetDistance, Value
from lightning_gen.metrics.extractors import Extractor

__all__ = ["KernelDistance", "estimate", "squared_mmd"]

#: images of a subset below which there is no error
_SMALLEST = 4


class Estimate(NamedTuple):
    """What two subsets of S images each say of the squared maximum mean discrepancy.

    Args:
        value: its unbiased estimate.
        real: variance of one real image's contribution.
        generated: that of one generated image.
        pair: variance of the contribution of a pair of both, without those.
    """

    value: Tensor
    real: Tensor
    generated: Tensor
    pair: Tensor


def squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    """Estimate the squared maximum mean discrepancy without bias (Gretton et al. 2012, Eq. 3) with k(x, y) =
    (x.y / D + 1)^3, for (N, D) and (M, D); may be negative."""
    return _value(*_kernels(a, b))


def _kernels(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, N), (M, M) and (N, M), float64."""
    a, b = a.double(), b.double()
    return tuple((x @ y.T / x.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))  # type: ignore[return-value]


def _value(within_a: Tensor, within_b: Tensor, across: Tensor) -> Tensor:
    def mean(k: Tensor) -> Tensor:
        return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))

    return mean(within_a) + mean(within_b) - 2 * across.mean()


def estimate(a: Tensor, b: Tensor) -> Estimate:
    """Estimate the squared discrepancy, and the variances of its parts in Hoeffding's decomposition (Sutherland et al.
    2017, Appendix A), for two times (S, D), S 4 or more."""
    within_a, within_b, across = _kernels(a, b)
    one, other = _linear_variance(within_a - across), _linear_variance(within_b - across.T)
    pairs = _off_diagonal(within_a + within_b - across - across.T)
    return Estimate(_value(within_a, within_b, across), one, other, pairs.var() - 2 * (one + other))


def _off_diagonal(matrix: Tensor) -> Tensor:
    """(S, S) -> (S, S - 1), each row without its diagonal entry."""
    count = len(matrix)
    return matrix[~torch.eye(count, dtype=torch.bool, device=matrix.device)].view(count, count - 1)


def _linear_variance(matrix: Tensor) -> Tensor:
    """The variance over rows of a row's expectation, from (S, S): that of the rows' means, less what the S - 1 entries
    of a row add to it by chance."""
    rows = _off_diagonal(matrix)
    return rows.mean(1).var() - rows.var(1).mean() / rows.shape[1]


@final
class KernelDistance(SetDistance):
    """``kid_<extractor>``: the mean over subsets. Lower is better; unbiased, so it compares small sets fairly.

    The error is the deviation that the number has over fresh sets of real and of generated images. Subsets share
    images, so their own spread over the root of their number is far too small: it is what the choice of subsets adds.

    Args:
        extractor: see `SetDistance`.
        subsets: number of random subsets, 2 or more.
        size: images in a subset, 2 or more; at most as many as there are images.
        seed: of the choice.
    """

    higher_is_better = False

    def __init__(self, extractor: Extractor, subsets: int = 50, size: int = 200, seed: int = 0, **kwargs: Any) -> None:
        for name, value in (("subsets", subsets), ("size", size)):
            if value < 2:
                raise UserError(f"evaluation.distances.{name} is {value}: want 2 or more")
        super().__init__(extractor, **kwargs)
        self.subsets, self.size, self.seed = subsets, size, seed

    @property
    def settings(self) -> dict[str, int]:
        return {"subsets": self.subsets, "size": self.size}

    def reference(self, real: Tensor) -> dict[str, Tensor]:
        return {"features": real.contiguous()}

    def compare(self, reference: dict[str, Tensor], generated: Tensor) -> list[Value]:
        real, chance = reference["features"], torch.Generator().manual_seed(self.seed)
        size = min(self.size, len(real), len(generated))

        def subset(x: Tensor) -> Tensor:
            return x[torch.randperm(len(x), generator=chance)[:size]]

        if size < _SMALLEST:
            values = torch.stack([squared_mmd(subset(real), subset(generated)) for _ in range(self.subsets)])
            return [Value(self._name, float(values.mean()), None, "lower")]
        found = [estimate(subset(real), subset(generated)) for _ in range(self.subsets)]
        parts = Estimate(*(torch.stack(part) for part in zip(*found, strict=True)))
        error = _error(parts, len(real), len(generated))
        return [Value(self._name, float(parts.value.mean()), error, "lower")]

    @property
    def _name(self) -> str:
        return f"kid_{self.extractor.label}"


def _error(parts: Estimate, real: int, generated: int) -> float:
    """The deviation of the mean over subsets, from `parts` of all, each (subsets,), and the sizes of the sets."""
    one, other, pair = (part.mean() for part in parts[1:])
    whole = 4 * (one / real + other / generated) + pair / 2 * (1 / real + 1 / generated) ** 2
    choice = parts.value.var() / len(parts.value)
    return float((whole.clamp(min=0.0) + choice).sqrt())
