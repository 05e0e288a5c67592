"""The page that `lightning-gen dashboard` serves; Streamlit runs this file as a script."""

import html
import sys
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from lightning_gen.errors import UserError
from lightning_gen.runs.pictures import read_picture, read_sound
from lightning_gen.runs.read import RunRecord, read_runs
from lightning_gen.runs.reasons import reasons
from lightning_gen.runs.report import differences, facts
from lightning_gen.runs.seeds import over_seeds
from lightning_gen.runs.tables import Row, Table, build_tables
from lightning_gen.runs.words import bound_words, metric_words, progress_words, value_words
from lightning_gen.serving import as_text as _inert

__all__ = ["page"]

_COLORS = ("#1f6feb", "#d9480f", "#1a7f37", "#8250df", "#bf3989", "#0b7285", "#946200", "#57606a")
_DASHES = ("solid", "dash", "dot", "dashdot")
#: longest side of a picture in pixels
_SIDE = 1440
_NOT_CURVES = ("images_seen", "seconds", "epoch", "step")
_AXES = {"images seen": "images_seen", "wall time (s)": "seconds"}
_STYLE = "<style>.stMainBlockContainer {padding-top: 2.5rem; max-width: 75rem} img {image-rendering: pixelated}</style>"


def page(folders: list[Path], every: int) -> None:
    """Everything, read anew every `every` seconds; what the visitor has chosen stays."""
    st.set_page_config("lightning-gen", layout="wide", initial_sidebar_state="collapsed")
    st.html(_STYLE)
    st.title("lightning-gen")
    live = st.toggle(f"follow the runs, every {every} s", value=True)
    st.fragment(_sections, run_every=every if live else None)(folders)


def _sections(folders: list[Path]) -> None:
    try:
        runs = read_runs(folders)
    except UserError as error:
        st.info(_inert(str(error)))
        return
    st.caption(" · ".join(f"{_inert(run.label)} {progress_words(run)}" for run in runs if not run.baseline))
    leaderboard, curves, samples, config = st.tabs(["Leaderboard", "Curves", "Samples", "Differences"])
    with leaderboard:
        _leaderboard(build_tables(runs))
    with curves:
        _curves(runs)
    with samples:
        _samples(runs)
    with config:
        _differences(runs)
    for run in runs:
        for problem in run.problems:
            st.warning(_inert(f"{run.label}: {problem}"))


def _leaderboard(tables: list[Table]) -> None:
    if not tables:
        st.info("None of these runs has been evaluated yet.")
        return
    chosen = st.selectbox("metric and split", list(dict.fromkeys(map(_title, tables))), key="table")
    for table in [table for table in tables if _title(table) == chosen]:
        st.caption(_inert(f"Ranked within one identity only: {table.caption}"))
        for group in table.groups:
            if group.bound:
                st.caption(_inert(bound_words(group.bound)))
            st.table([_cells(row) for row in group.rows], hide_index=True)
        for bound, rows in over_seeds(table):
            st.caption(_inert(f"Over seeds{f', {bound}' if bound else ''}: mean and its standard error"))
            cells = [
                {"model": _inert(r.label), "seeds": len(r.values), "value": value_words(r.mean, r.error)} for r in rows
            ]
            st.table(cells, hide_index=True)
    if apart := reasons(tables):
        with st.expander("Why tables are apart"):
            st.markdown("\n".join(f"- {_inert(line)}" for line in apart))


def _title(table: Table) -> str:
    where = f"{table.identity.get('data')} {table.identity.get('split')}"
    return f"{metric_words(table.metric, table.better)} · {where}"


def _cells(row: Row) -> dict[str, Any]:
    score = row.score
    return {
        "rank": "baseline" if score.run.baseline else str(row.rank or ""),
        "run": _inert(score.run.label),
        "value": value_words(score.value, score.error),
        "beats baseline": row.beats or "",
        "checkpoint": "" if score.run.baseline else _inert(score.checkpoint),
        "images seen": "" if score.run.baseline else f"{score.images_seen:,}",
    }


def _curves(runs: list[RunRecord]) -> None:
    found = {k for run in runs for row in run.metrics for k in row if k not in _NOT_CURVES}
    metrics = sorted(found, key=lambda key: (not key.startswith(("eval/", "test/", "val/")), key))
    if not metrics:
        st.info("No run has written a metric yet.")
        return
    left, middle, right = st.columns([3, 2, 1], vertical_alignment="bottom")
    metric = left.selectbox("curve", metrics, key="curve")
    axis = middle.radio("over", list(_AXES), horizontal=True, key="axis")
    logarithmic = right.checkbox("log", key="log")
    sets: dict[tuple[str, str], list[tuple[int, RunRecord]]] = {}  # runs on other data are never in one chart
    for i, run in enumerate(runs):
        key = str(run.about.get("data", "")), str(run.about.get("fingerprint", ""))
        sets.setdefault(key, []).append((i, run))
    for (data, mark), members in sorted(sets.items()):
        figure = go.Figure([line for i, run in members if (line := _line(run, i, metric, _AXES[axis]))])
        if figure.data:
            figure.update_layout(title=html.escape(f"{metric}, {data}"), margin={"l": 10, "r": 10, "t": 40, "b": 10})
            figure.update_layout(height=420, legend={"orientation": "h", "y": -0.2}, xaxis_title=axis, hovermode="x")
            figure.update_yaxes(type="log" if logarithmic else "linear")
            st.plotly_chart(figure, width="stretch", key=f"chart {data} {mark}")


def _line(run: RunRecord, index: int, metric: str, axis: str) -> go.Scatter | None:
    rows = [row for row in run.metrics if metric in row and axis in row]
    if not rows:
        return None
    style = {"color": _COLORS[index % 8], "dash": _DASHES[index // 8 % 4], "width": 2}
    x, y = [row[axis] for row in rows], [row[metric] for row in rows]  # a null breaks the line
    mode = "lines+markers" if len(rows) < 20 else "lines"
    return go.Scatter(x=x, y=y, name=html.escape(run.label), mode=mode, line=style, connectgaps=False)


def _samples(runs: list[RunRecord]) -> None:
    shown = [run for run in runs if run.grids]
    marks = sorted({grid.images_seen for run in shown for grid in run.grids if not run.baseline})
    if not shown:
        st.info("No run has written a grid yet.")
        return
    seen = marks[-1] if marks else 0
    if len(marks) > 1:
        seen = st.select_slider("images seen", marks, value=marks[-1], format_func=lambda n: f"{n:,}", key="seen")
    st.caption("One fixed seed: the same noise at every mark. Each run shows its newest grid up to the mark.")
    columns = st.columns(3)
    for i, run in enumerate(shown):
        grids = run.grids if run.baseline else [grid for grid in run.grids if grid.images_seen <= seen]
        with columns[i % 3]:
            if grids:
                about = "baseline" if run.baseline else f"{grids[-1].images_seen:,} images seen"
                _image(run, grids[-1].path, f"{run.label}, {about}")
                if sound := read_sound(run, grids[-1].path.with_suffix(".wav")):
                    st.audio(sound, format="audio/wav")
    copies = [run for run in runs if (run.folder / "neighbours.png").is_file()]
    if copies:
        st.subheader("Nearest training images")
        st.caption("Each row: a sample, then the training images nearest to it. A row of equal pictures is a copy.")
        columns = st.columns(3)
        for i, run in enumerate(copies):
            with columns[i % 3]:
                _image(run, run.folder / "neighbours.png", run.label)


def _image(run: RunRecord, path: Path, caption: str) -> None:
    picture = read_picture(run, path, _SIDE)
    if picture is None:
        st.caption(_inert(f"{caption}: {path.name} cannot be read"))
    else:
        st.image(picture, caption=_inert(caption), width="stretch")


def _differences(runs: list[RunRecord]) -> None:
    configured = [run for run in runs if run.config]
    names = [run.label for run in configured]
    chosen = st.multiselect("runs", names, default=names, key="configs")
    compared = [run for run in configured if run.label in chosen]
    shared, partial = differences(compared)
    if not shared and not partial:
        st.info("The configurations are the same." if len(compared) > 1 else "Choose two runs or more.")
    for title, rows in (("Keys that differ", shared), ("Keys that only some runs have", partial)):
        if rows:
            st.caption(title)
            cells = [{"key": key, **dict(zip(_labels(compared), v, strict=True))} for key, v in rows.items()]
            st.dataframe(cells, hide_index=True, width="stretch")
    st.caption("What is known of each run")
    table = [{"": name, **dict(zip(_labels(runs), texts, strict=True))} for name, texts in facts(runs).items()]
    st.dataframe(table, hide_index=True, width="stretch")


def _labels(runs: list[RunRecord]) -> list[str]:
    return [run.label for run in runs]


if __name__ == "__main__":
    page([Path(folder) for folder in sys.argv[2:]], int(sys.argv[1]))
