"""The kernel distance: squared maximum mean discrepancy with a cubic kernel (Binkowski et al. 2018, Section 4)."""

from typing import Any, final

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.metrics.distances import SetDistance, Value
from lightning_gen.metrics.extractors import Extractor

__all__ = ["KernelDistance", "squared_mmd"]


def squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    """The unbiased estimate (Gretton et al. 2012, Eq. 3) with k(x, y) = (x.y / D + 1)^3, for (N, D) and (M, D); may be
    negative."""
    a, b = a.double(), b.double()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        k = kernel(x, x)
        return (k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1))

    return within(a) + within(b) - 2 * kernel(a, b).mean()


@final
class KernelDistance(SetDistance):
    """``kid_<extractor>``: the mean over subsets and its standard error. Lower is better; unbiased, so it compares
    small sets fairly.

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

        values = torch.stack([squared_mmd(subset(real), subset(generated)) for _ in range(self.subsets)])
        error = float(values.std() / self.subsets**0.5)
        return [Value(f"kid_{self.extractor.label}", float(values.mean()), error, "lower")]
