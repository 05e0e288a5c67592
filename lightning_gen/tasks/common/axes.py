"""Axes of attributes in a space of codes: fitted to what a reader sees, and locked against one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

__all__ = ["Axes", "axes_hash", "fit_axes", "least_steps", "load_axes", "locked_steps", "ridge", "save_axes"]

#: of `ridge`, of which each attribute takes what predicts best
_PENALTIES = (1e-2, 1e-1, 1.0)


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

    def limits(self, reader: AttributeReader, index: int) -> tuple[float, float]:
        """Give the scores between which the data lie, of an attribute that may be steered."""
        found = self.about["ranges"][self.names[index]]
        values = torch.zeros(2, len(self.names))
        values[:, index] = torch.tensor([found["low"], found["high"]])
        low, high = reader.score_of(values)[:, index].tolist()
        return low, high


def ridge(codes: Tensor, scores: Tensor, penalties: Sequence[float] = _PENALTIES) -> tuple[Tensor, Tensor]:
    """Fit scores (N, A) by codes (N, K) linearly; return the weights (K, A), and the share of the variance of every
    second code's scores that weights fitted to the others explain, (A,).

    Args:
        codes: of generated pictures.
        scores: what is read off these.
        penalties: on squared weights, by the mean variance of a component; each attribute takes the one that explains
            most. Of the weights of a few thousand codes a large part is chance: too small a penalty keeps it.
    """
    x, y = codes.double(), scores.double()
    x, y = x - x.mean(0), y - y.mean(0)
    explained = []
    for penalty in penalties:
        lost = (y[1::2] - x[1::2] @ _ridge(x[::2], y[::2], penalty)).square().mean(0)
        explained.append(1 - lost / y[1::2].var(0, unbiased=False).clamp(min=1e-12))
    best, which = torch.stack(explained).max(0)
    weights = torch.stack([_ridge(x, y, penalty) for penalty in penalties])  # (P, K, A)
    return weights[which, :, torch.arange(y.shape[1])].T.float(), best.float()


def _ridge(x: Tensor, y: Tensor, penalty: float) -> Tensor:
    gram = x.T @ x
    gram += penalty * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram, x.T @ y)


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
    return least_steps(axes.covariance, axes.weights[:, list(moved)])


def least_steps(covariance: Tensor, weights: Tensor) -> Tensor:
    """As `locked_steps`, of the covariance (K, K) and the weights (K, M) of the attributes that are moved or held."""
    covariance, weights = covariance.double(), weights.double()
    cost = weights.T @ covariance @ weights
    # The last term alone is left where nothing that is read changes with the codes: then there is no step.
    cost += (1e-6 * cost.diagonal().mean() + 1e-12) * torch.eye(len(cost), dtype=cost.dtype)
    return torch.linalg.solve(cost, (covariance @ weights).T).float()


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
