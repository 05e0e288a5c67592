"""What came of a sweep: a table, ``results.json``, and ``best.yaml``, the configuration of the best run."""

import re
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from lightning_gen.files import write_json, write_text
from lightning_gen.launch.study import Study
from lightning_gen.launch.worker import trial_folder
from lightning_gen.reading import parse_yaml, read_text

__all__ = ["rows", "short", "show", "write_best"]


def rows(study: Study) -> list[dict[str, Any]]:
    """A row per trial, the best first: index, state, value, parameters, tries and run folder; failures last."""
    tries: dict[int, int] = {}
    for trial in study.study.get_trials(deepcopy=False):
        index = trial.user_attrs.get("index", -1)
        tries[index] = tries.get(index, 0) + 1
    found = [
        {
            "trial": index,
            "state": trial.state.name.lower(),
            "value": None if trial.state.name == "FAIL" else trial.value if trial.value is not None else _last(trial),
            "parameters": trial.user_attrs.get("values", {}),
            "tries": tries[index],
            "error": trial.user_attrs.get("error"),
        }
        for index, trial in sorted(study.latest().items())
    ]
    sign = -1 if study.sweep.maximize else 1
    order = {"complete": 0, "pruned": 1}
    return sorted(found, key=lambda r: (order.get(r["state"], 2), sign * r["value"] if r["value"] is not None else 0.0))


def _last(trial: Any) -> float | None:
    return trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None


def show(study: Study, folder: Path) -> list[dict[str, Any]]:
    """Print the table and write ``results.json`` into `folder`."""
    found = rows(study)
    names = [p.name for p in study.sweep.parameters if len(p.values) != 1]
    table = Table(title=f"{study.sweep.name}: {study.sweep.metric}")
    for name in ("trial", "state", study.sweep.metric, *(n.removeprefix("model.init_args.") for n in names), "tries"):
        table.add_column(name, overflow="fold")
    for row in found:
        value = "" if row["value"] is None else f"{row['value']:.4g}"
        cells = [short(row["parameters"].get(name)) for name in names]
        table.add_row(str(row["trial"]), row["state"], value, *cells, str(row["tries"]))
    Console().print(table)
    about = {"sweep": study.sweep.name, "method": study.sweep.method, "metric": study.sweep.metric, "seed": study.seed}
    write_json(folder / "results.json", {**about, "goal": _goal(study), "trials": found})
    return found


def _goal(study: Study) -> str:
    return "maximize" if study.sweep.maximize else "minimize"


def short(value: Any) -> str:
    """A value as it stands in tables and pictures: of classes, nested ones too, their names alone."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(re.findall(r"lightning_gen\.[\w.]*\.(\w+)", text)) or text


def write_best(study: Study, found: list[dict[str, Any]], folder: Path) -> Path | None:
    """Write the configuration of the best complete trial of `found` (from `rows`) to ``best.yaml``, to be trained by
    ``fit -c``; None where no trial is complete or its run, in `folder`, has no configuration."""
    best = next((row for row in found if row["state"] == "complete"), None)
    config = trial_folder(folder, study.sweep.name, best["trial"]) / "config.yaml" if best else None
    if best is None or config is None or not config.exists():
        return None
    content = parse_yaml(read_text(config), f"config {config}")
    run = {**content.get("run", {}), "name": f"{study.sweep.name}-best", "root": "runs", "resume": "no"}
    head = f"# {study.sweep.name}, trial {best['trial']}: {study.sweep.metric} {best['value']:.6g}, seed {study.seed}\n"
    write_text(folder / "best.yaml", head + yaml.safe_dump({**content, "run": run}, sort_keys=False))
    return folder / "best.yaml"
