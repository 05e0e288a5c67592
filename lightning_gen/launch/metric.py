"""The metric of a sweep, checked before a trial is spent on it."""

import difflib
import re
from typing import Any

from lightning_gen.errors import UserError

__all__ = ["check_metric", "missing", "values_of"]

#: metrics by name, and the beginnings of those that a hash, a loss or an optimizer ends
_NAMES = ("eval/bits_per_dim", "eval/fd", "eval/fid", "eval/rate", "eval/distortion", "val/bits_per_dim")
_TRANSLATION = "psnr|ssim|l1|lpips|accuracy|iou|cycle|attribute|colour"
_TEXT = "says|variety|r_precision"
_MUSIC = "overlap|chain_overlap|chord_tones|repeated_bars|copied_bars"
_SETS = "texture|fd|fid|kid|precision|recall|density|coverage|is"
_BEGINNINGS = rf"(train|health|lr-\w+)|eval/({_SETS}|{_TRANSLATION}|{_TEXT}|{_MUSIC})([_-].*)?"
#: rows of a group of metrics in which each of them has stood
_ROWS = 3


def check_metric(name: str) -> None:
    """Raise for a metric that no training of this project logs.

    Raises:
        UserError: with the nearest that exists.
    """
    if name in _NAMES or re.fullmatch(_BEGINNINGS, name) or name.startswith(("train/", "health/")):
        return
    near = difflib.get_close_matches(name, _NAMES, 1, 0.5)
    wanted = f"{near[0]}?" if near else f"one of {', '.join(_NAMES)}, or train/NAME"
    raise UserError(f"metric.name is {name}, which no training logs: want {wanted}")


def values_of(rows: list[dict[str, Any]], metric: str) -> list[float | None]:
    """Return the metric, row after row; None where it was not finite."""
    found = [row[metric] for row in rows if metric in row]
    return [float(value) if isinstance(value, int | float) else None for value in found]


def missing(rows: list[dict[str, Any]], metric: str) -> str | None:
    """Return what is logged in place of `metric`, whose group has been logged without it; None where it may come."""
    group = metric.partition("/")[0]
    names = [[name for name in row if name.startswith(f"{group}/")] for row in rows]
    logged = [part for part in names if part]
    if any(metric in part for part in logged) or len(logged) < _ROWS:
        return None
    return ", ".join(sorted({name for part in logged for name in part}))
