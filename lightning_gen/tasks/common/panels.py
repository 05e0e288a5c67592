"""Pictures side by side, each under its title."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_gen.files import write_figure

__all__ = ["write_panels"]


def write_panels(path: Path, panels: Sequence[tuple[str, np.ndarray]], across: int = 2) -> None:
    """Write pictures of one size as PNG, row by row, each 450 pixels wide.

    Args:
        path: of the PNG.
        panels: titles and pictures, uint8 (H, W, 3); one or more.
        across: beside one another, fewer where there are fewer.
    """
    from matplotlib.figure import Figure

    across = min(across, len(panels))
    down = -(-len(panels) // across)
    high, wide = panels[0][1].shape[:2]
    figure = Figure(figsize=(4.5 * across, down * (4.4 * high / wide + 0.3)))
    axes = figure.subplots(down, across, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (title, picture) in zip(axes.flat, panels, strict=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(title, fontsize=9, loc="left", pad=3)
    figure.tight_layout()
    write_figure(path, figure)
