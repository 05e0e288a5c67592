"""Axes of attributes in a space of codes: fitted to what a reader sees, locked against one another, closed by what it
sees at this very picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.files import atomic_write, write_json
from lightning_gen.metrics.extractors import weights_hash
from lightning_gen.metrics.readers import AttributeReader
from lightning_gen.reading import read_json
from lightning_gen.tasks.common.code_space import CodeSpace

__all__ = ["Axes", "Edit", "axes_hash", "edit", "fit_axes", "load_axes", "locked_steps", "ridge", "save_axes"]


@dataclass(frozen=True)
class Axes:
    """What is known of a space of codes.

    Args:
        mean: (K,), of the codes.
        covariance: (K, K).
        weights: (K, A), of the linear part of each attribute's score.
        scale: (A,), standard deviation of the scores of generated pictures.
        unnamed: (U, K), directions without a name, one standard deviation of the codes long each.
        about: names, hashes and measurements, plain values.
    """

    mean: Tensor
    covariance: Tensor
    weights: Tensor
    scale: Tensor
    unnamed: Tensor
    about: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """Attributes, in order."""
        return list(self.about["names"])

    @property
    def controls(self) -> list[str]:
        """The attributes that may be steered; the others are only measured."""
        return list(self.about["controls"])


def ridge(codes: Tensor, scores: Tensor, penalty: float = 1e-2) -> tuple[Tensor, Tensor]:
    """Fit scores (N, A) by codes (N, K) linearly, on every second code; return the weights (K, A), and the share of the
    variance of the others that they explain, (A,).

    Args:
        codes: of generated pictures.
        scores: what is read off these.
        penalty: on squared weights, by the mean variance of a component.
    """
    x, y = codes.double(), scores.double()
    x, y = x - x[::2].mean(0), y - y[::2].mean(0)
    gram = x[::2].T @ x[::2]
    gram += penalty * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weights = torch.linalg.solve(gram, x[::2].T @ y[::2])
    lost = (y[1::2] - x[1::2] @ weights).square().mean(0)
    return weights.float(), (1 - lost / y[1::2].var(0, unbiased=False).clamp(min=1e-12)).float()


def fit_axes(codes: Tensor, scores: Tensor) -> tuple[Axes, Tensor]:
    """Fit axes to codes (N, K) and scores (N, A); without names. The share explained, (A,), is returned beside them."""
    weights, explained = ridge(codes, scores)
    centred = (codes - codes.mean(0)).double()
    covariance = (centred.T @ centred / len(codes)).float()
    scale = scores.std(0, unbiased=False).clamp(min=1e-6)
    return Axes(codes.mean(0), covariance, weights, scale, torch.zeros(0, codes.shape[1]), {}), explained


def locked_steps(axes: Axes, moved: Sequence[int]) -> Tensor:
    """Compute the steps (len(moved), K) of which each changes one attribute's linear score by 1 and holds the others of
    `moved`: D = S B (B^T S B)^-1, those of least Mahalanobis length, so that codes stay as probable as can be.

    Args:
        axes: with S the covariance of codes and B the weights of the attributes.
        moved: indices of attributes, those that are changed and those that are held.
    """
    weights, covariance = axes.weights[:, list(moved)].double(), axes.covariance.double()
    cost = weights.T @ covariance @ weights
    # The last term alone is left where nothing that is read changes with the codes: then there is no step.
    cost += (1e-6 * cost.diagonal().mean() + 1e-12) * torch.eye(len(cost), dtype=cost.dtype)
    return torch.linalg.solve(cost, (covariance @ weights).T).float()


class Edit(NamedTuple):
    """A code (K,) that was moved, and the scores (A,) that are read off its picture."""

    code: Tensor
    scores: Tensor


@torch.no_grad()
def edit(
    space: CodeSpace, reader: AttributeReader, axes: Axes, code: Tensor, wanted: dict[int, float],
    locked: Sequence[int] = (), corrections: int = 2,
) -> Edit:  # fmt: skip
    """Move a code so that attributes of its picture take given scores and locked ones keep theirs.

    The first step is linear. Each correction measures how the scores change along the steps at this very picture, by
    finite differences of all of them at once, and solves for what is still missing, damped. Of each step the whole,
    two fifths and none of it are tried, and what comes nearest is kept: far from the straight line a slope says little.

    Args:
        space: where the code lies.
        reader: of the attributes.
        axes: of this space and reader.
        code: (K,).
        wanted: score of each attribute that is moved, by its index.
        locked: indices of attributes that are held.
        corrections: 0 or more.
    """
    moved = list(dict.fromkeys([*wanted, *locked]))
    width = axes.scale[moved]
    steps = width[:, None] * locked_steps(axes, moved)  # (M, K), each by one standard deviation of its score
    now = Edit(code, reader.scores(space.images(code[None]))[0])
    target = torch.stack([torch.as_tensor(wanted[i]) if i in wanted else now.scores[i] for i in moved])

    def missing(scores: Tensor) -> Tensor:
        return (target - scores[..., moved]) / width

    def nearest(now: Edit, step: Tensor) -> Edit:
        codes = now.code + torch.tensor(_SHARES)[:, None] * step
        scores = torch.cat([reader.scores(space.images(codes)), now.scores[None]])
        best = int(missing(scores).square().sum(1).argmin())
        return Edit(codes[best], scores[best]) if best < len(codes) else now

    now = nearest(now, missing(now.scores) @ steps)
    for _ in range(corrections):
        seen = reader.scores(space.images(now.code + _PROBE * steps))[:, moved]  # (M, M)
        slope = ((seen - now.scores[moved]) / width / _PROBE).T  # standard deviations per step
        now = nearest(now, _damped(slope, missing(now.scores)) @ steps)
    return now


#: length of the steps that measure slopes, in standard deviations: a shorter one drowns in the rounding of pixels
_PROBE = 0.5
#: of a step that are tried
_SHARES = (1.0, 0.4)


def _damped(slope: Tensor, missing: Tensor) -> Tensor:
    """Solve slope @ step = missing, with steps of at most 1.5 standard deviations."""
    square = slope.T @ slope + 0.02 * torch.eye(len(slope))
    return torch.linalg.solve(square, slope.T @ missing).clamp(-1.5, 1.5)


def axes_hash(space: CodeSpace, reader: AttributeReader) -> str:
    """16 hex digits of the weights of the generator and the reader, to which axes belong, and the label behind them
    where there is one."""
    own = weights_hash(space.module.ema_network) + weights_hash(reader)
    return own if space.label is None else f"{own}-{space.label}"


_PARTS = ("mean", "covariance", "weights", "scale", "unnamed")


def save_axes(folder: Path, axes: Axes) -> Path:
    """Write ``HASH.safetensors`` and ``HASH.json`` below `folder`; the path of the latter."""
    path = folder / f"{axes.about['hash']}.json"
    tensors = {name: getattr(axes, name).contiguous() for name in _PARTS}
    with atomic_write(path.with_suffix(".safetensors")) as stream:
        stream.write(save(tensors))
    write_json(path, axes.about)
    return path


def load_axes(folder: Path, key: str) -> Axes:
    """Read what `save_axes` wrote.

    Raises:
        UserError: there are no axes of this hash, or their files are damaged.
    """
    path = folder / f"{key}.json"
    if not path.is_file():
        raise UserError(f"{folder} has no axes of this checkpoint and reader: want lightning-gen axes first")
    try:
        tensors, about = load_file(path.with_suffix(".safetensors")), read_json(path)
        axes = Axes(**{name: tensors[name] for name in _PARTS}, about=about)
        fits = axes.about["hash"] == key and axes.weights.shape == (len(axes.mean), len(axes.names))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"axes {path} cannot be read: want lightning-gen axes again") from error
    if not fits:
        raise UserError(f"axes {path} do not fit their name: want lightning-gen axes again")
    return axes
