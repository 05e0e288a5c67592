"""The rows of a distance between two sets of features."""

import math
from typing import Any

from torch import Tensor

from lightning_gen.evaluation.rows import Metrics, metric_row
from lightning_gen.metrics.distances import SetDistance

__all__ = ["compare"]


def compare(distance: SetDistance, reference: dict[str, Tensor], features: Tensor, identity: dict[str, Any]) -> Metrics:
    """The rows of one distance. Where an image has features that are not finite, the numbers are null, and say so."""
    bad = int((~features.isfinite().all(1)).sum())
    lost = {"not_finite": bad} if bad else {}
    metrics: Metrics = {}
    for name, number, error, better in distance.compare(reference, features.nan_to_num()):
        number, error = (math.nan, None) if bad else (number, error)
        metrics[name] = metric_row(number, error, better, identity | distance.settings) | lost
    return metrics
