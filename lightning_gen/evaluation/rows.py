"""The rows of numbers that an evaluation gives, with the identity that says which of them may be compared."""

import math
from datetime import UTC, datetime
from typing import Any

from lightning_gen.contracts import ImageData, Split

__all__ = ["Metrics", "data_identity", "evaluation_row", "metric_row"]

#: name -> {"value", "error", "better", "identity", and "not_finite" where some images had no finite number}
Metrics = dict[str, dict[str, Any]]


def metric_row(value: float, error: float | None, better: str, identity: dict[str, Any]) -> dict[str, Any]:
    """Put one number into a row. JSON has no word for NaN: it becomes null."""
    finite = value if math.isfinite(value) else None
    return {"value": finite, "error": error, "better": better, "identity": identity}


def data_identity(data: ImageData, split: Split) -> dict[str, Any]:
    """Say which images a number is about."""
    spec = data.spec
    return {
        "data": data.name,
        "fingerprint": data.fingerprint,
        "split": split,
        "levels": spec.levels,
        "shape": list(spec.shape),
    }


def evaluation_row(images_seen: int, checkpoint: str, split: str, seconds: float, metrics: Metrics) -> dict[str, Any]:
    """Make a row of ``evaluations.jsonl``."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"images_seen": images_seen, "checkpoint": checkpoint, "split": split, "time": now}
    return about | {"seconds": round(seconds, 3), "metrics": metrics}
