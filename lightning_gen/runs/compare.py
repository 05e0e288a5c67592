"""Compare runs: tables of what may be compared, in the terminal, as JSON, or as one HTML page."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.console import Group as Stack
from rich.markup import escape
from rich.table import Table as RichTable

from lightning_gen.config.arguments import Arguments
from lightning_gen.runs.read import RunRecord, read_runs
from lightning_gen.runs.reasons import reasons
from lightning_gen.runs.seeds import SeedRow, over_seeds
from lightning_gen.runs.tables import Group, Row, Table, build_tables
from lightning_gen.runs.text_tables import as_csv, as_markdown
from lightning_gen.runs.words import bound_words, duration_words, metric_words, progress_words, value_words

__all__ = ["as_json", "main"]


def main(arguments: list[str]) -> None:
    """``lightning-gen compare FOLDER [FOLDER ...] [--json | --csv | --markdown] [--html FILE] [--metric NAME] ...``."""
    parser = Arguments("compare", __doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a run, or a folder that holds runs")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    form.add_argument("--csv", action="store_true", help="print a row per value and nothing else")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables and nothing else")
    parser.file("html", ".html", ".htm", help="write a report: one page that needs no network")
    parser.add_argument("--metric", metavar="NAME", help="this metric only, with or without its hash (all)")
    parser.add_argument("--split", choices=["train", "val", "test"], help="this split only (all, each on its own)")
    options = parser.parse_args(arguments)

    runs = read_runs(options.folders)
    tables = build_tables(runs, options.metric, options.split)
    if options.html:
        from lightning_gen.runs.report import write_report

        write_report(options.html, runs, tables)
    if options.json:
        print(json.dumps(as_json(runs, tables), indent=2, allow_nan=False))
        return
    if options.csv or options.markdown:
        print(as_csv(tables) if options.csv else as_markdown(tables), end="")
        return
    _show(runs, tables)
    if options.html:
        print(f"report: {options.html}")


def as_json(runs: list[RunRecord], tables: list[Table]) -> dict[str, Any]:
    """Everything the tables say as plain values, null for what is not finite or not there.

    ``tables[].groups[].rows`` are best first; ranks hold within one group, never across.
    """
    return {
        "runs": [_run_json(run) for run in runs],
        "tables": [
            {
                "metric": table.metric,
                "better": table.better,
                "identity": table.identity,
                "caption": table.caption,
                "groups": [_group_json(group) for group in table.groups],
                "over_seeds": [
                    {"bound": bound, "rows": [row._asdict() for row in rows]} for bound, rows in over_seeds(table)
                ],
            }
            for table in tables
        ],
        "apart": reasons(tables),
    }


def _run_json(run: RunRecord) -> dict[str, Any]:
    return {
        "run": run.label,
        "folder": str(run.folder),
        "kind": "baseline" if run.baseline else "run",
        "images_seen": run.images_seen,
        "budget": run.budget,
        "seconds": run.seconds,
        "about": run.about,
        "problems": run.problems,
    }


def _group_json(group: Group) -> dict[str, Any]:
    return {
        "bound": group.bound,
        "baseline": group.baseline.run.label if group.baseline else None,
        "rows": [_row_json(row) for row in group.rows],
    }


def _row_json(row: Row) -> dict[str, Any]:
    score = row.score
    return {
        "rank": row.rank,
        "run": score.run.label,
        "kind": "baseline" if score.run.baseline else "run",
        "checkpoint": score.checkpoint,
        "images_seen": score.images_seen,
        "value": score.value,
        "error": score.error,
        "not_finite": score.not_finite,
        "seed": score.identity.get("seed"),
        "beats_baseline": row.beats,
    }


def _show(runs: list[RunRecord], tables: list[Table]) -> None:
    # A pipe has no width: lines that other programs read are not folded at 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(_runs_table(runs))
    for table in tables:
        console.print()
        console.print(_metric_table(table))
    for line in reasons(tables):
        console.print(escape(line), style="italic")
    for line in _remarks(runs, tables):
        console.print(escape(line), style="yellow")


def _runs_table(runs: list[RunRecord]) -> RichTable:
    shown = RichTable(title="runs", title_justify="left", title_style="bold")
    for name in ("run", "model", "data"):
        shown.add_column(name, overflow="fold")
    for name in ("parameters", "images seen", "training", "seed"):
        shown.add_column(name, justify="right")
    for run in runs:
        parameters = run.about.get("parameters")
        model = "baseline" if run.baseline else run.about.get("model", "")
        number = f"{parameters:,}" if isinstance(parameters, int) else ""
        texts = [run.label, model, run.about.get("data", ""), number, progress_words(run)]
        texts += [duration_words(run.seconds), run.about.get("seed", "")]
        shown.add_row(*(escape(str(text)) for text in texts), style="dim" if run.baseline else None)
    return shown


def _metric_table(table: Table) -> Stack:
    """One block: a table per bound, each with ranks of its own."""
    title = f"[bold]{escape(metric_words(table.metric, table.better))}[/bold]\n{escape(table.caption)}"
    seeds = [_seeds_table(bound, rows) for bound, rows in over_seeds(table)]
    return Stack(title, *(_group_table(group) for group in table.groups), *seeds)


def _seeds_table(bound: str | None, rows: list[SeedRow]) -> RichTable:
    title = f"over seeds{f', {bound}' if bound else ''}: mean and its standard error"
    shown = RichTable(title=escape(title), title_justify="left", title_style="italic")
    shown.add_column("model", overflow="fold")
    shown.add_column("checkpoint")
    shown.add_column("seeds", justify="right")
    shown.add_column("value", justify="right")
    for row in rows:
        texts = [row.label, row.checkpoint, str(len(row.values)), value_words(row.mean, row.error)]
        shown.add_row(*map(escape, texts))
    return shown


def _group_table(group: Group) -> RichTable:
    title = escape(bound_words(group.bound)) if group.bound else None
    shown = RichTable(title=title, title_justify="left", title_style="italic")
    shown.add_column("rank", justify="right")
    shown.add_column("run", overflow="fold")
    shown.add_column("checkpoint")
    shown.add_column("images seen", justify="right")
    shown.add_column("value", justify="right")
    counted = any(row.score.not_finite is not None for row in group.rows)
    if counted:
        shown.add_column("not finite", justify="right")
    if group.baseline:
        shown.add_column(escape(f"beats {group.baseline.run.label}"))
    for row in group.rows:
        score = row.score
        texts = [row.rank or "", score.run.label, score.checkpoint, f"{score.images_seen:,}"]
        texts += [value_words(score.value, score.error)]
        texts += [score.not_finite if score.not_finite is not None else ""] if counted else []
        texts += [row.beats or ("baseline" if score.run.baseline else "")] if group.baseline else []
        if score.run.baseline:
            texts[0], texts[2], texts[3] = "baseline", "", ""
        style = "bold" if row.rank == 1 else "dim" if score.run.baseline else None
        shown.add_row(*(escape(str(text)) for text in texts), style=style)
    return shown


def _remarks(runs: list[RunRecord], tables: list[Table]) -> list[str]:
    measured = {row.score.run.label for table in tables for group in table.groups for row in group.rows}
    missing = [run.label for run in runs if run.label not in measured]
    remarks = [f"no evaluation: {', '.join(missing)}; see lightning-gen evaluate"] if missing else []
    return remarks + [f"{run.label}: {problem}" for run in runs for problem in run.problems]
