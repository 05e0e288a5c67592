"""Whom a model leaves out: recall of the real images of each group of an attribute."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_gen.batches import join
from lightning_gen.contracts import ImageData, Split
from lightning_gen.errors import UserError
from lightning_gen.evaluation.rows import Metrics, metric_row
from lightning_gen.metrics.extractors import Extractor
from lightning_gen.metrics.manifold import recalled

__all__ = ["check_groups", "group_recall", "groups_of"]

_NEIGHBOURS = 5


def check_groups(data: ImageData, names: Sequence[str]) -> None:
    """Raise `UserError` where the data has no attribute of a name."""
    for name in names:
        if name not in data.attribute_names:
            have = ", ".join(data.attribute_names) or "none, it has no attributes"
            raise UserError(f"evaluation.groups has {name}: want some of {have}")


def groups_of(values: Tensor) -> list[tuple[float, float]]:
    """Part values (N,): 0 and 1 where there are no others, else four groups of about a quarter each; the lowest and
    the highest value of each."""
    different = values.unique()
    if len(different) <= 4:
        return [(float(v), float(v)) for v in different]
    edges = values.quantile(torch.linspace(0, 1, 5, dtype=values.dtype)).tolist()
    parts = [(values >= low) & (values < high) for low, high in zip(edges, [*edges[1:4], float("inf")], strict=False)]
    return [(float(values[part].min()), float(values[part].max())) for part in parts if part.any()]


def group_recall(
    data: ImageData, split: Split, names: Sequence[str], extractor: Extractor, generated: Tensor,
    identity: dict[str, Any], device: torch.device | str = "cpu",
) -> Metrics:  # fmt: skip
    """Measure ``recall_NAME_LOW-HIGH_<extractor>``: of the real images whose attribute lies there, the share inside
    the ball of some generated image (Kynkäänniemi et al. 2019, Eq. 2), with its standard error over images.

    Args:
        data: real images with attributes.
        split: of them.
        names: attributes.
        extractor: of the features.
        generated: features of generated images, (M, D).
        identity: of the numbers.
        device: where features are computed.
    """
    check_groups(data, names)
    batches = list(data.batches(split, 256))
    real = torch.cat([extractor(batch["image"].to(device)).cpu() for batch in batches])
    attributes = join([{"attributes": batch["attributes"]} for batch in batches])["attributes"]
    k = min(_NEIGHBOURS, len(generated) - 1)
    inside = recalled(real.double(), generated.double(), k).double()
    found: Metrics = {}
    for name in names:
        values = attributes[:, data.attribute_names.index(name)]
        for low, high in groups_of(values):
            own = inside[(values >= low) & (values <= high)]
            error = float((own.mean() * (1 - own.mean()) / len(own)).sqrt())
            about = identity | {"k": k, "attribute": name, "low": low, "high": high, "images": len(own)}
            where = f"{low:g}" if low == high else f"{low:g}-{high:g}"
            found[f"recall_{name}_{where}_{extractor.label}"] = metric_row(float(own.mean()), error, "higher", about)
    return found
