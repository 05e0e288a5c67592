"""Two pictures of a sweep: parallel coordinates of its trials, and how much each parameter decides."""

import math
from pathlib import Path
from typing import Any

from lightning_gen.files import write_figure
from lightning_gen.launch.results import short
from lightning_gen.launch.study import Study

__all__ = ["draw"]


def draw(study: Study, trials: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw what can be drawn of `trials` (from `results.rows`): ``parallel.png`` from 2 with a value on,
    ``importance.png`` from 4 complete ones on, where more than one parameter varies."""
    found = [row for row in trials if row["value"] is not None]
    names = [p.name for p in study.sweep.parameters if len({str(row["parameters"][p.name]) for row in found}) > 1]
    made = []
    if len(found) >= 2 and names:
        made.append(_parallel(study, found, names, folder / "parallel.png"))
    complete = [row for row in found if row["state"] == "complete"]
    if len(complete) >= 4 and len(names) > 1 and len({row["value"] for row in complete}) > 1:
        made.append(_importance(study, complete, names, folder / "importance.png"))
    return made


def _axis(values: list[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Values -> heights in [0, 1] and the ticks of their axis, by logarithm where they span more than a decade."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        kinds = sorted({str(v) for v in values})
        heights = {kind: i / max(len(kinds) - 1, 1) for i, kind in enumerate(kinds)}
        return [heights[str(v)] for v in values], [(h, short(kind)) for kind, h in heights.items()]
    low, high = min(values), max(values)
    log = low > 0 and high / low > 20
    scale = math.log if log else float
    span = (scale(high) - scale(low)) or 1.0
    middle = math.sqrt(low * high) if log else (low + high) / 2
    ticks = [(0.0, f"{low:.3g}"), (0.5, f"{middle:.3g}"), (1.0, f"{high:.3g}")]
    return [(scale(v) - scale(low)) / span for v in values], ticks


def _parallel(study: Study, found: list[dict[str, Any]], names: list[str], path: Path) -> Path:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    columns = [[row["parameters"][name] for row in found] for name in names] + [[row["value"] for row in found]]
    axes = [_axis(column) for column in columns]
    figure = Figure(figsize=(2.2 * len(axes) + 1.5, 4.2), layout="constrained")
    panel = figure.subplots()
    for i, row in enumerate(found):
        good = 1 - axes[-1][0][i] if not study.sweep.maximize else axes[-1][0][i]
        style = ":" if row["state"] == "pruned" else "-"
        line: dict[str, Any] = {
            "color": colormaps["viridis"](good),
            "ls": style,
            "lw": 1.8,
            "alpha": 0.8,
        }
        panel.plot(range(len(axes)), [heights[i] for heights, _ in axes], **line)
    for x, (_, ticks) in enumerate(axes):
        panel.axvline(x, color="0.3", lw=0.8)
        for y, text in ticks:
            panel.text(x + 0.03, y, text, fontsize=8, bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 1})
    panel.set_xticks(range(len(axes)), [*map(_label, names), study.sweep.metric], fontsize=9)
    panel.set_yticks([])
    panel.set_xlim(-0.1, len(axes) - 0.6)
    panel.set_frame_on(False)
    panel.set_title(f"{study.sweep.name}: light is good" + (", dotted was stopped early" if _stopped(found) else ""))
    write_figure(path, figure, dpi=110)
    return path


def _stopped(found: list[dict[str, Any]]) -> bool:
    return any(row["state"] == "pruned" for row in found)


def importances(complete: list[dict[str, Any]], names: list[str]) -> dict[str, float]:
    """Shares of the metric's variance that a random forest lays on each parameter, by impurity (Breiman 2001); with few
    trials a hint, no more."""
    from sklearn.ensemble import RandomForestRegressor

    inputs = list(zip(*(_axis([row["parameters"][name] for row in complete])[0] for name in names), strict=True))
    forest = RandomForestRegressor(200, random_state=0).fit(inputs, [row["value"] for row in complete])
    return dict(zip(names, map(float, forest.feature_importances_), strict=True))


def _importance(study: Study, complete: list[dict[str, Any]], names: list[str], path: Path) -> Path:
    from matplotlib.figure import Figure

    shares = sorted(importances(complete, names).items(), key=lambda item: item[1])
    figure = Figure(figsize=(6.4, 0.5 * len(shares) + 1.4), layout="constrained")
    panel = figure.subplots()
    panel.barh([_label(name) for name, _ in shares], [share for _, share in shares], color="#31688e")
    panel.set_xlabel(f"share of the variance of {study.sweep.metric} over {len(complete)} trials")
    panel.set_title(f"{study.sweep.name}: what decides")
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    write_figure(path, figure, dpi=110)
    return path


def _label(name: str) -> str:
    """An argument as the pictures call it."""
    return name.replace("model.init_args.", "").replace(".init_args", "")
