"""Curves over images seen, as geometry that a page only has to draw: one chart per metric and data set."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from lightning_gen.runs.read import RunRecord
from lightning_gen.runs.tables import scores

__all__ = ["HEIGHT", "WIDTH", "Chart", "Point", "Series", "build_charts"]

#: of a chart, in units of its own; text is set at 12 of them, readable where a phone shows the chart 360 pixels wide
WIDTH, HEIGHT = 440, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34
_NOT_CURVES = ("images_seen", "seconds", "epoch", "step")
#: buckets of a curve; the lowest and the highest point of each are drawn, so no spike is lost
_BUCKETS = 200
#: from this ratio of largest to smallest value on, the axis is logarithmic
_LOG_RATIO = 5.0
#: shares of images, at home between 0 and 1
_SHARES = ("precision", "recall", "density", "coverage")


class Point(NamedTuple):
    """Images seen, value (None: not finite), and the place in the chart."""

    images_seen: int
    value: float | None
    x: float
    y: float


@dataclass(frozen=True)
class Series:
    """One run's curve.

    Args:
        label: of the run, with the bound of its likelihood where there is one.
        index: of the run among all: its colour.
        points: by images seen.
    """

    label: str
    index: int
    points: list[Point]

    @property
    def path(self) -> str:
        """SVG path data; it is broken where values are not finite."""
        words, pen = [], "M"
        for point in self.points:
            if point.value is None:
                pen = "M"
                continue
            words.append(f"{pen}{point.x:.1f} {point.y:.1f}")
            pen = "L"
        return "".join(words)

    @property
    def alone(self) -> list[Point]:
        """Points with no neighbour to draw a line to."""
        values = [None, *(p.value for p in self.points), None]
        return [p for i, p in enumerate(self.points) if p.value is not None and values[i] is values[i + 2] is None]

    @property
    def broken(self) -> list[Point]:
        """Where the value was not finite."""
        return [point for point in self.points if point.value is None]

    @property
    def last(self) -> float | None:
        """The newest value."""
        return self.points[-1].value

    @property
    def extremes(self) -> tuple[float | None, float | None]:
        """The smallest and the largest value."""
        values = [point.value for point in self.points if point.value is not None]
        return min(values, default=None), max(values, default=None)


@dataclass(frozen=True)
class Chart:
    """All curves of one metric on one data set.

    Args:
        metric: key in metrics.jsonl.
        data: name of the data set.
        series: one per run.
        x_ticks: (place, text).
        y_ticks: (place, text).
        logarithmic: whether the value axis is.
    """

    metric: str
    data: str
    series: list[Series]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    logarithmic: bool


def build_charts(runs: list[RunRecord]) -> list[Chart]:
    """A chart for each metric and data set; what was trained on different data is never in one chart."""
    curves: dict[tuple[str, str, str], list[tuple[int, RunRecord, list[tuple[int, float | None]]]]] = {}
    for index, run in enumerate(runs):
        for metric, points in _curves(run).items():
            key = (metric, str(run.about.get("data", "")), str(run.about.get("fingerprint", "")))
            curves.setdefault(key, []).append((index, run, points))
    # What was measured on held-out images comes first.
    ordered = sorted(curves, key=lambda key: (key[1:], not key[0].startswith(("eval/", "test/", "val/")), key[0]))
    return [_chart(metric, data, curves[metric, data, mark]) for metric, data, mark in ordered]


def _curves(run: RunRecord) -> dict[str, list[tuple[int, float | None]]]:
    found: dict[str, list[tuple[int, float | None]]] = {}
    for row in run.metrics:
        for key, value in row.items():
            if key not in _NOT_CURVES and (value is None or _is_number(value)):
                found.setdefault(key, []).append((row["images_seen"], value))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _label(run: RunRecord, metric: str) -> str:
    bounds = {score.bound for score in scores(run)} - {None}
    return f"{run.label} ({bounds.pop()})" if metric.endswith("bits_per_dim") and len(bounds) == 1 else run.label


def _chart(metric: str, data: str, curves: list[tuple[int, RunRecord, list[tuple[int, float | None]]]]) -> Chart:
    values = [v for _, _, points in curves for _, v in points if v is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    share = metric.rpartition("/")[2].startswith(_SHARES)
    logarithmic = low > 0 and high / low > _LOG_RATIO and not share
    last = max(seen for _, _, points in curves for seen, _ in points)
    x_axis, y_axis = _Axis(0, max(last, 1), False), _Axis(low, high, logarithmic)
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def x(seen: float) -> float:
        return _LEFT + width * x_axis.place(seen)

    def y(value: float | None) -> float:
        return _TOP if value is None else _TOP + height * (1 - y_axis.place(value))

    series = [
        Series(_label(run, metric), index, [Point(seen, value, x(seen), y(value)) for seen, value in _thin(points)])
        for index, run, points in curves
    ]
    x_ticks = [(x(tick), _short(tick)) for tick in x_axis.ticks(5)]
    y_ticks = [(y(tick), _short(tick)) for tick in y_axis.ticks(5)]
    return Chart(metric, data, series, x_ticks, y_ticks, logarithmic)


class _Axis:
    """From `low` to `high`, with a little air around a linear range."""

    def __init__(self, low: float, high: float, logarithmic: bool) -> None:
        self.logarithmic = logarithmic
        air = 0.0 if logarithmic or low == 0 else 0.05 * (high - low) or max(abs(low) * 0.05, 1e-6)
        self.low, self.high = low - air, high + (air if low != 0 else 0.02 * (high - low) or 1.0)

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, count: int) -> list[float]:
        from matplotlib.ticker import LogLocator, MaxNLocator

        fine = self.high < 20 * self.low
        subs = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if fine else (1.0, 2.0, 5.0)
        locator = LogLocator(subs=subs) if self.logarithmic else MaxNLocator(count, steps=[1, 2, 2.5, 5, 10])
        inside = [float(tick) for tick in locator.tick_values(self.low, self.high) if self.low <= tick <= self.high]
        return inside[:: max(1, -(-len(inside) // (count + 2)))]


def _short(value: float) -> str:
    """``12k``, ``1.5M``, ``0.02``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _thin(points: list[tuple[int, float | None]]) -> list[tuple[int, float | None]]:
    """At most about 2 * `_BUCKETS` points: the lowest and the highest of each bucket, the last, all not finite."""
    if len(points) <= 2 * _BUCKETS:
        return points
    size = -(-len(points) // _BUCKETS)
    kept = {len(points) - 1} | {i for i, (_, value) in enumerate(points) if value is None}
    for start in range(0, len(points), size):
        bucket = [(value, i) for i, (_, value) in enumerate(points[start : start + size], start) if value is not None]
        if bucket:
            kept |= {min(bucket)[1], max(bucket)[1]}
    return [points[i] for i in sorted(kept)]
