"""What axes do to pictures: what else changes with an attribute, who is still recognised, how far an axis reaches."""

from typing import Any

import torch
from torch import Tensor

from lightning_gen.metrics.readers import AttributeReader
from lightning_gen.tasks.common.axes import Axes, edit, locked_steps
from lightning_gen.tasks.common.code_space import CodeSpace

__all__ = ["correlations", "leakage", "ranges", "strip"]

_WAYS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)


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
    start = reader.scores(space.images(codes))[:, index]
    made = [
        edit(space, reader, axes, code, {index: float(score + axes.scale[index])}, locked).code
        for code, score in zip(codes, start, strict=True)
    ]
    return space.images(torch.stack(made))


def _identity(reader: AttributeReader, before: Tensor, after: Tensor) -> float:
    a, b = reader.features(before), reader.features(after)
    apart = torch.cdist(a, a).sum() / (len(a) * max(len(a) - 1, 1))
    return float((a - b).norm(dim=1).mean() / apart.clamp(min=1e-12))


@torch.no_grad()
def ranges(space: CodeSpace, reader: AttributeReader, axes: Axes, codes: Tensor) -> dict[str, dict[str, Any]]:
    """Follow each axis, with linear locks, and find the stretch around the start in which the mean of what is read
    grows at each step.

    Returns:
        by attribute: ``value``, what is read at each step of -3 to 3 standard deviations, in its unit; ``low`` and
        ``high``, the ends of the stretch.
    """
    steered = [axes.names.index(name) for name in axes.controls]
    found = {}
    for k in steered:
        step = locked_steps(axes, [k, *(i for i in steered if i != k)])[0] * axes.scale[k]
        score = [reader.scores(space.images(codes + way * step))[:, k].mean() for way in _WAYS]
        row = torch.zeros(len(_WAYS), len(axes.names))
        row[:, k] = torch.stack(score)
        value = reader.values(row)[:, k].tolist()
        low, high = _grows(value)
        found[axes.names[k]] = {"value": value, "low": value[low], "high": value[high]}
    return found


def _grows(value: list[float]) -> tuple[int, int]:
    """First and last place of the stretch around the middle in which numbers grow."""
    low = high = len(value) // 2
    while low > 0 and value[low - 1] < value[low]:
        low -= 1
    while high < len(value) - 1 and value[high + 1] > value[high]:
        high += 1
    return low, high


@torch.no_grad()
def strip(space: CodeSpace, axes: Axes, codes: Tensor, index: int, reach: float = 2.0, steps: int = 7) -> Tensor:
    """Images along the axis of an attribute, locked against the others that are steered: uint8 (N * steps, C, H, W)."""
    others = [axes.names.index(name) for name in axes.controls if axes.names.index(name) != index]
    step = locked_steps(axes, [index, *others])[0] * axes.scale[index]
    ways = torch.linspace(-reach, reach, steps)
    rows = [space.images(code + ways[:, None] * step) for code in codes]
    return torch.cat(rows)
