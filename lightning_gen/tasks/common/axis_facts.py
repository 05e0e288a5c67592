"""What axes do to pictures: what else changes with an attribute, who is still recognised, how far an axis reaches."""

from typing import Any

import torch
from torch import Tensor

from lightning_gen.metrics.readers import AttributeReader
from lightning_gen.tasks.common.axes import Axes, locked_steps
from lightning_gen.tasks.common.axis_path import AxisPath, look
from lightning_gen.tasks.common.code_space import CodeSpace

__all__ = ["correlations", "leakage", "ranges", "strip"]

#: share of the data that lies below and above the range of a slider
_OUTSIDE = 0.01


def correlations(values: Tensor) -> list[list[float]]:
    """Correlate attributes (N, A) with one another: what a change of one says of the others in the data itself."""
    return torch.corrcoef(values.T).nan_to_num().tolist()


@torch.no_grad()
def leakage(space: CodeSpace, reader: AttributeReader, axes: Axes, codes: Tensor) -> dict[str, Any]:
    """Move each attribute that may be steered up by one standard deviation of its score, picture by picture, with locks
    off, with linear locks, and with locks that are closed at each picture.

    Args:
        space: of the codes.
        reader: of the attributes.
        axes: of this space and reader.
        codes: (N, K), pictures to start from.

    Returns:
        for each way a matrix: row by row the steered attribute, column by column the mean change of every attribute's
        score, in standard deviations of generated pictures; and ``identity``, the mean distance of the reader's
        features before and after, by that of two pictures; and ``spread``, the mean size of the changes besides.
    """
    steered = [axes.names.index(name) for name in axes.controls]
    before = space.images(codes)
    found: dict[str, Any] = {}
    for way in ("off", "linear", "closed"):
        rows, identity, besides = [], [], []
        for k in steered:
            locked = [] if way == "off" else [i for i in steered if i != k]
            after = _moved(space, reader, axes, codes, k, locked, way == "closed")
            change = (reader.scores(after) - reader.scores(before)) / axes.scale
            rows.append(change.mean(0).tolist())
            identity.append(_identity(reader, before, after))
            others = [i for i in steered if i != k]
            besides.append(float(change[:, others].abs().mean()) if others else 0.0)
        found[way] = {"change": rows, "identity": identity, "besides": besides}
    return found


def _moved(
    space: CodeSpace, reader: AttributeReader, axes: Axes, codes: Tensor, index: int, locked: list[int], closed: bool
) -> Tensor:
    """Images of codes whose score `index` is one standard deviation higher."""
    if not closed:
        step = locked_steps(axes, [index, *locked])[0] * axes.scale[index]
        return space.images(codes + step)
    moved = [AxisPath(space, reader, axes, start, index, locked) for start in look(space, reader, codes)]
    return torch.stack([path.at(float(path.kept[0] + axes.scale[index])).image for path in moved])


def _identity(reader: AttributeReader, before: Tensor, after: Tensor) -> float:
    a, b = reader.features(before), reader.features(after)
    apart = torch.cdist(a, a).sum() / (len(a) * max(len(a) - 1, 1))
    return float((a - b).norm(dim=1).mean() / apart.clamp(min=1e-12))


def ranges(axes: Axes, values: Tensor) -> dict[str, dict[str, float]]:
    """Find between which values the data lie, all but 1 % at either end; of those that are 0 or 1, 0.02 to 0.98.

    Args:
        axes: whose attributes may be steered.
        values: (N, A), attributes of the data.
    """
    found = {}
    for name in axes.controls:
        column = values[:, axes.names.index(name)]
        binary = bool(((column == 0) | (column == 1)).all())
        ends = [0.02, 0.98] if binary else column.quantile(torch.tensor([_OUTSIDE, 1 - _OUTSIDE])).tolist()
        found[name] = {"low": ends[0], "high": ends[1]}
    return found


@torch.no_grad()
def strip(space: CodeSpace, axes: Axes, codes: Tensor, index: int, reach: float = 2.0, steps: int = 7) -> Tensor:
    """Images along the axis of an attribute, locked against the others that are steered: uint8 (N * steps, C, H, W)."""
    others = [axes.names.index(name) for name in axes.controls if axes.names.index(name) != index]
    step = locked_steps(axes, [index, *others])[0] * axes.scale[index]
    ways = torch.linspace(-reach, reach, steps)
    rows = [space.images(code + ways[:, None] * step) for code in codes]
    return torch.cat(rows)
