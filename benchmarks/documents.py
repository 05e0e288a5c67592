"""What benchmarks and scripts put into docs/: tables between two lines, means over seeds, rows of samples."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from lightning_gen.files import write_text

__all__ = ["mean_and_error", "newest_rows", "write_between"]


def write_between(path: Path, begin: str, end: str, text: str) -> None:
    """Put `text` between the lines `begin` and `end` of a document, in place of what stands there."""
    before, _, rest = path.read_text().partition(begin)
    write_text(path, f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")


def mean_and_error(values: Sequence[float], digits: int = 2, sign: str = "") -> str:
    """``1.23 ± 0.04``, the mean and its standard error, of one value without; nothing of none. With the `sign` "+"
    every mean has one."""
    if not values:
        return ""
    error = f" ± {stdev(values) / math.sqrt(len(values)):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):{sign}.{digits}f}{error}"


def newest_rows(run: Path) -> np.ndarray:
    """The upper quarter of the last sample grid of a run, uint8 (H, W, 3): two of eight rows."""
    from PIL import Image

    grids = sorted((run / "samples").glob("[0-9]*.png"))
    with Image.open(grids[-1]) as picture:
        return np.asarray(picture.convert("RGB").crop((0, 0, picture.width, picture.height // 4)))
