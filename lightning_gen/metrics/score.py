"""The Inception Score (Salimans et al. 2016, Section 4): exp E[KL(p(y|x) | p(y))], from 1 to the number of classes."""

from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor

from lightning_gen.errors import check_counts
from lightning_gen.metrics.distances import SetDistance, Value
from lightning_gen.metrics.extractors import Extractor

__all__ = ["InceptionScore", "inception_score"]


def inception_score(logits: Tensor) -> float:
    """(N, K) class scores -> the score of the whole set."""
    log_p = logits.double().log_softmax(1)
    log_mean = log_p.logsumexp(0) - torch.log(torch.tensor(float(len(log_p)), dtype=torch.float64))
    return float((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())


@final
class InceptionScore(SetDistance):
    """``is_<extractor>``: the mean over equal parts of the generated set and its standard error. Higher is better. It
    does not look at the real images, and so does not see a copied or a missing one.

    Args:
        extractor: a classifier.
        splits: parts, 1 or more.
    """

    higher_is_better = True

    def __init__(self, extractor: Extractor, splits: int = 10, **kwargs: Any) -> None:
        check_counts("evaluation.distances", splits=splits)
        super().__init__(extractor, **kwargs)
        self.splits = splits

    @property
    def settings(self) -> dict[str, int]:
        return {"splits": self.splits}

    def reference(self, real: Tensor) -> dict[str, Tensor]:
        return {}

    def compare(self, reference: dict[str, Tensor], generated: Tensor) -> list[Value]:
        logits, count = self.extractor.cpu().logits(generated), min(self.splits, len(generated))
        ends = [i * len(generated) // count for i in range(count + 1)]  # sizes differ by one image at most
        parts = [logits[a:b] for a, b in pairwise(ends)]
        values = torch.tensor([inception_score(part) for part in parts], dtype=torch.float64)
        error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
        return [Value(f"is_{self.extractor.label}", float(values.mean()), error, "higher")]
