"""The tables for other programs and other pages: CSV, a row per value, and Markdown."""

import csv
import io
import json

from lightning_gen.runs.reasons import reasons
from lightning_gen.runs.seeds import over_seeds
from lightning_gen.runs.tables import Row, Table
from lightning_gen.runs.words import bound_words, metric_words, value_words

__all__ = ["as_csv", "as_markdown"]

_COLUMNS = (
    *("metric", "better", "split", "bound", "rank", "run", "kind", "checkpoint", "images_seen", "value", "error"),
    *("not_finite", "seed", "beats_baseline", "identity"),
)


def as_csv(tables: list[Table]) -> str:
    """A row per value; empty for what is not finite or not there. ``identity`` is JSON: ranks hold only among rows
    with one metric, identity and bound."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for group in table.groups:
            writer.writerows(_cells(table, row) for row in group.rows)
    return stream.getvalue()


def _cells(table: Table, row: Row) -> dict[str, object]:
    score = row.score
    return {
        "metric": table.metric,
        "better": table.better,
        "split": table.identity.get("split"),
        "bound": score.bound,
        "rank": row.rank,
        "run": _inert(score.run.label),
        "kind": "baseline" if score.run.baseline else "run",
        "checkpoint": _inert(score.checkpoint),
        "images_seen": score.images_seen,
        "value": score.value,
        "error": score.error,
        "not_finite": score.not_finite,
        "seed": score.run.about.get("seed"),
        "beats_baseline": row.beats,
        "identity": json.dumps(table.identity, sort_keys=True),
    }


def _inert(text: str) -> str:
    """A spreadsheet takes a cell that begins so for a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


def as_markdown(tables: list[Table]) -> str:
    """A section per table, a table per bound, means over seeds below, and at the end why tables are apart."""
    parts = []
    for table in tables:
        parts.append(f"## {_safe(metric_words(table.metric, table.better))}\n\n{_safe(table.caption)}\n")
        for group in table.groups:
            head = f"{_safe(bound_words(group.bound))}\n\n" if group.bound else ""
            parts.append(head + _lines(["rank", "run", "checkpoint", "images seen", "value"], map(_row, group.rows)))
        for bound, rows in over_seeds(table):
            cells = [
                [row.label, row.checkpoint, str(len(row.values)), value_words(row.mean, row.error)] for row in rows
            ]
            head = f"Over seeds{f', {bound}' if bound else ''}: mean and its standard error\n\n"
            parts.append(head + _lines(["model", "checkpoint", "seeds", "value"], cells))
    apart = reasons(tables)
    parts += ["## Why tables are apart\n\n" + "".join(f"- {_safe(line)}\n" for line in apart)] if apart else []
    return "\n".join(parts)


def _row(row: Row) -> list[str]:
    score = row.score
    if score.run.baseline:
        return ["baseline", score.run.label, "", "", value_words(score.value, score.error)]
    seen, value = f"{score.images_seen:,}", value_words(score.value, score.error)
    return [str(row.rank or ""), score.run.label, score.checkpoint, seen, value]


def _lines(columns: list[str], rows: object) -> str:
    cells = [columns, ["---"] * len(columns), *rows]  # type: ignore[misc]
    head, rule, *body = (f"| {' | '.join(map(_safe, row))} |\n" for row in cells)
    return "".join([head, rule, *body])


def _safe(text: str) -> str:
    """Neither a new cell nor markup."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
