"""The report: one HTML page that holds everything, for a browser without a network."""

import base64
import hashlib
import io
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lightning_gen.files import data_uri, write_text
from lightning_gen.runs.charts import HEIGHT, WIDTH, Chart, build_charts
from lightning_gen.runs.pictures import read_picture, read_sound
from lightning_gen.runs.read import Grid, RunRecord, read_neighbours
from lightning_gen.runs.reasons import reasons
from lightning_gen.runs.seeds import over_seeds
from lightning_gen.runs.tables import Table
from lightning_gen.runs.words import bound_words, duration_words, metric_words, progress_words, value_words

__all__ = ["differences", "facts", "write_report"]

_PAGE = Path(__file__).parent / "page"
#: longest side of an embedded picture in pixels: the newest of a run, and earlier ones
_LARGE, _SMALL = 720, 320
#: earlier pictures shown per run
_EARLIER = 5
#: where a run lies and is mirrored to is no difference between runs
_PLACE = ("run.name", "run.root", "run.wandb", "run.resume")


class Picture(NamedTuple):
    """A PNG as a data URI, with its size and the images seen when it was drawn."""

    images_seen: int
    uri: str
    width: int
    height: int


class Gallery(NamedTuple):
    """The pictures of one run: the newest, with its sound as a data URI where it has one, and earlier ones in order."""

    run: RunRecord
    newest: Picture
    earlier: list[Picture]
    sound: str | None


class Place(NamedTuple):
    """Where a value and its error bar lie on a scale that all rows of a table share, in percent."""

    middle: float
    low: float
    high: float


def write_report(path: Path, runs: list[RunRecord], tables: list[Table]) -> None:
    """Write `render_report` to `path`, atomically."""
    write_text(path, render_report(runs, tables))


def render_report(runs: list[RunRecord], tables: list[Table]) -> str:
    """The page. Whatever comes from a run folder is escaped, and no script but the page's own may run in it."""
    script = (_PAGE / "report.js").read_text()
    shared, partial = differences(runs)
    return (
        _environment()
        .get_template("report.html")
        .render(
            runs=runs,
            index={run.label: i for i, run in enumerate(runs)},
            tables=[
                (table, metric_words(table.metric, table.better), _places(table), over_seeds(table)) for table in tables
            ],
            reasons=reasons(tables),
            neighbours=[shown for run in runs if (shown := _neighbours(run))],
            value_words=value_words,
            charts=[(chart, _hover(chart)) for chart in build_charts(runs)],
            width=WIDTH,
            height=HEIGHT,
            galleries=[gallery for run in runs if (gallery := _gallery(run))],
            shared_differences=shared,
            partial_differences=partial,
            configured=[run for run in runs if run.config],
            facts=facts(runs),
            made=datetime.now(UTC).isoformat(timespec="minutes"),
            style=(_PAGE / "report.css").read_text(),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "identity": id,
        "bound": bound_words,
        "duration": duration_words,
        "progress": progress_words,
    }
    return environment


def differences(runs: list[RunRecord]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Keys of the configuration that are not the same in all runs that have one -> the value in each, as text.

    Returns:
        The keys that all runs have, and those that only some have, because their classes differ.
    """
    configs = [{_short_key(k): _text(k, v) for k, v in run.config.items()} for run in runs if run.config]
    keys = sorted({key for config in configs for key in config if not key.startswith(_PLACE)})
    rows = {key: [config.get(key, "") for config in configs] for key in keys}
    rows = {key: values for key, values in rows.items() if len(set(values)) > 1}
    common = {key for key in rows if all(key in config for config in configs)}
    return {k: v for k, v in rows.items() if k in common}, {k: v for k, v in rows.items() if k not in common}


def _short_key(key: str) -> str:
    """``model.init_args.encoder.class_path`` -> ``model.encoder``."""
    return key.replace(".init_args", "").removesuffix(".class_path")


def _text(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value.rpartition(".")[2] if key.endswith("class_path") else value
    return json.dumps(value, default=str)


def facts(runs: list[RunRecord]) -> dict[str, list[str]]:
    """Name of a fact -> its text for each run; facts that no run has are left out."""
    columns = {
        "model": [_fact(run, "model") for run in runs],
        "parameters": [_fact(run, "parameters") for run in runs],
        "images seen": [progress_words(run) for run in runs],
        "training time": ["" if run.baseline else duration_words(run.seconds) for run in runs],
        "data": [_fact(run, "data") for run in runs],
        "fingerprint": [_fact(run, "fingerprint") for run in runs],
        "seed": [_fact(run, "seed") for run in runs],
        "commit": [_fact(run, "commit") for run in runs],
        "hardware": [_fact(run, "hardware") for run in runs],
        "processes": [_fact(run, "processes") for run in runs],
        "precision": [_fact(run, "precision") for run in runs],
        "versions": [_fact(run, "versions") for run in runs],
        "started": [_fact(run, "started") for run in runs],
        "damaged": ["; ".join(run.problems) for run in runs],
    }
    return {name: texts for name, texts in columns.items() if any(texts)}


def _fact(run: RunRecord, name: str) -> str:
    value = run.about.get(name)
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, int) and name != "seed":
        return f"{value:,}"
    return "" if value is None else str(value)


def _places(table: Table) -> dict[int, Place]:
    """id of a score -> its place; empty where all values are equal or none is finite."""
    found = [row.score for group in table.groups for row in group.rows if row.score.value is not None]
    spans = [(s.value - (s.error or 0), s.value + (s.error or 0)) for s in found if s.value is not None]
    low, high = min((a for a, _ in spans), default=0.0), max((b for _, b in spans), default=0.0)
    if high <= low:
        return {}

    def percent(value: float) -> float:
        return round(4 + 92 * (value - low) / (high - low), 2)

    return {
        id(score): Place(percent(score.value or 0.0), percent(a), percent(b))
        for score, (a, b) in zip(found, spans, strict=True)
    }


def _hover(chart: Chart) -> list[dict[str, Any]]:
    """What the page's script shows under the pointer."""
    return [
        {"label": s.label, "points": [(round(p.x, 1), round(p.y, 1), p.images_seen, p.value) for p in s.points]}
        for s in chart.series
    ]


def _gallery(run: RunRecord) -> Gallery | None:
    """None where the run has no picture that can be read."""
    grids = run.grids
    readable = ((i, found) for i in reversed(range(len(grids))) if (found := _picture(run, grids[i], _LARGE)))
    last, newest = next(readable, (0, None))
    if newest is None:
        return None
    step = max(1.0, (last - 1) / max(1, _EARLIER - 1))
    chosen = sorted({round(i * step) for i in range(_EARLIER)} & set(range(last)))
    earlier = [found for i in chosen if (found := _picture(run, grids[i], _SMALL))]
    sound = read_sound(run, grids[last].path.with_suffix(".wav"))
    return Gallery(run, newest, earlier, data_uri("audio/wav", sound) if sound else None)


def _neighbours(run: RunRecord) -> tuple[RunRecord, Picture, dict[str, Any]] | None:
    """The samples beside their nearest training images, and what is known of them; None where there are none."""
    picture = _picture(run, Grid(0, run.folder / "neighbours.png"), _LARGE)
    return (run, picture, read_neighbours(run.folder)) if picture else None


def _picture(run: RunRecord, grid: Grid, side: int) -> Picture | None:
    shown = read_picture(run, grid.path, side)
    if shown is None:
        return None
    stream = io.BytesIO()
    shown.save(stream, format="PNG", optimize=True)
    return Picture(grid.images_seen, data_uri("image/png", stream.getvalue()), *shown.size)
