"""Reading run folders: finished, in progress or killed half-way; what cannot be read is reported, never fatal."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lightning_gen.config.messages import flat
from lightning_gen.errors import IMAGE_LIMIT, UserError
from lightning_gen.reading import inert, parse_json, parse_yaml, plain, read_rows, read_text

__all__ = ["Grid", "RunRecord", "find_runs", "read_neighbours", "read_run", "read_runs"]

_MARKS = ("run.json", "metrics.jsonl", "evaluations.jsonl")
#: what run.json says, by the kind of its values
_FACTS: dict[type, set[str]] = {
    str: {"kind", "name", "model", "class_path", "data", "fingerprint", "commit", "version", "started", "precision"},
    int: {"parameters", "seed", "processes"},
    dict: {"hardware", "versions"},
}


class Grid(NamedTuple):
    """A picture of samples: the images seen when it was drawn, and its PNG."""

    images_seen: int
    path: Path


@dataclass(frozen=True)
class RunRecord:
    """What a run folder says; numbers that are not finite are None.

    Args:
        folder: of the run.
        label: its name, unique among the runs read together.
        about: run.json.
        config: config.yaml, flat: ``{"model.init_args.latent_dim": 16, ...}``.
        metrics: rows of metrics.jsonl, by images seen.
        evaluations: rows of evaluations.jsonl, in the order written.
        grids: the pictures in samples/, by images seen.
        problems: what could not be read, one line each.
    """

    folder: Path
    label: str
    about: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def baseline(self) -> bool:
        """Whether this is no trained model but a mark to measure models by."""
        return self.about.get("kind") == "baseline"

    @property
    def images_seen(self) -> int:
        """Training images seen so far, as far as the rows and pictures tell."""
        rows = [row["images_seen"] for row in self.metrics + self.evaluations]
        return max([*rows, *(grid.images_seen for grid in self.grids)], default=0)

    @property
    def budget(self) -> int | None:
        """Training images the configuration asks for."""
        images = self.config.get("run.images")
        return images if isinstance(images, int) else None

    @property
    def seconds(self) -> float | None:
        """Seconds of training until the last row of metrics."""
        return next((row["seconds"] for row in reversed(self.metrics) if row.get("seconds") is not None), None)


def find_runs(paths: list[Path]) -> list[Path]:
    """The run folders among `paths` and below them, each once, in order.

    Raises:
        UserError: a path does not exist, or no run lies there.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.is_dir():
            raise UserError(f"folder {path} does not exist: want a run, or a folder that holds runs")
        runs = list(_walk(path))
        if not runs:
            raise UserError(f"folder {path} holds no runs: want a run, or a folder that holds runs")
        for run in runs:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def _walk(path: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(path):
        if any(name in files for name in _MARKS):
            below.clear()
            yield Path(folder)
        else:
            below[:] = sorted(name for name in below if not name.startswith("."))


def read_runs(paths: list[Path]) -> list[RunRecord]:
    """All runs of `find_runs`, baselines last, with labels that tell them apart."""
    folders = find_runs(paths)
    runs = [read_run(folder, label) for folder, label in zip(folders, _labels(folders), strict=True)]
    return sorted(runs, key=lambda run: run.baseline)


def _labels(folders: list[Path]) -> list[str]:
    """Folder names, with as many parents as it takes to make them differ."""
    parts = [folder.resolve().parts for folder in folders]
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts):
        depth += 1
    return [inert("/".join(p[-depth:])) for p in parts]


def read_run(folder: Path, label: str | None = None) -> RunRecord:
    """Read one run folder; a missing or damaged file leaves its part empty and a line in `problems`."""
    problems: list[str] = []
    about = _mapping(folder, "run.json", parse_json, problems)
    config = _mapping(folder, "config.yaml", parse_yaml, problems)
    metrics = [_numbers(row) for row in _rows(folder, "metrics.jsonl", problems)]
    rows = _rows(folder, "evaluations.jsonl", problems)
    evaluations = [_evaluation(row) for row in rows if isinstance(row.get("metrics"), dict)]
    return RunRecord(
        folder=folder,
        label=label or inert(folder.resolve().name),
        about=_facts(about, problems),
        config=flat(config) if config else {},
        metrics=sorted(metrics, key=lambda row: row["images_seen"]),
        evaluations=evaluations,
        grids=_grids(folder / "samples"),
        problems=problems,
    )


def read_neighbours(folder: Path) -> dict[str, Any]:
    """What `lightning-gen evaluate` says beside ``neighbours.png``; empty where there is nothing."""
    found = _mapping(folder, "neighbours.json", parse_json, [])
    return {key: value for key, value in found.items() if _is_number(value)}


def _mapping(folder: Path, name: str, parse: Callable[[str, str], Any], problems: list[str]) -> dict[str, Any]:
    path = folder / name
    if not os.path.lexists(path):
        return {}  # a run that has just begun, or a baseline, lacks some files
    try:
        value = plain(parse(read_text(path, inside=folder) or "{}", name))
    except UserError as error:
        problems.append(str(error).removeprefix(f"file {folder}/"))
        return {}
    if not isinstance(value, dict):
        problems.append(f"{name} holds {type(value).__name__}: want a mapping")
        return {}
    return value


def _facts(about: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """What run.json says, without facts of another kind than `_FACTS`."""
    kinds = {name: kind for kind, names in _FACTS.items() for name in names}
    odd = [name for name, value in about.items() if not isinstance(value, kinds.get(name, object) | None)]
    if odd:
        problems.append(f"run.json: {', '.join(sorted(odd))} left out, of another kind")
    whole = {name: {} if value is None and kinds.get(name) is dict else value for name, value in about.items()}
    return {name: value for name, value in whole.items() if name not in odd}


def _rows(folder: Path, name: str, problems: list[str]) -> list[dict[str, Any]]:
    """Rows with images_seen."""
    rows = read_rows(folder / name, problems, inside=folder)
    found = [row for row in rows if type(row.get("images_seen")) is int and 0 <= row["images_seen"] <= IMAGE_LIMIT]
    if lost := len(rows) - len(found):
        problems.append(f"{name}: {lost} row{'s' if lost > 1 else ''} without images_seen left out")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    """A row of metrics without what is no number; None stands for one that is not finite."""
    return {name: value for name, value in row.items() if value is None or _is_number(value)}


def _evaluation(row: dict[str, Any]) -> dict[str, Any]:
    """A row of evaluations with the metrics that say what was measured: others compare with nothing."""
    return {**row, "metrics": {name: found for name, entry in row["metrics"].items() if (found := _entry(entry))}}


def _entry(entry: Any) -> dict[str, Any] | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("identity"), dict) or "value" not in entry:
        return None
    numbers = {key: entry.get(key) if _is_number(entry.get(key)) else None for key in ("value", "error", "not_finite")}
    better = "higher" if entry.get("better") == "higher" else "lower"
    return {**entry, **numbers, "better": better}


def _grids(folder: Path) -> list[Grid]:
    found = [path for path in _listed(folder) if path.suffix == ".png" and re.fullmatch("[0-9]{1,16}", path.stem)]
    return sorted(Grid(int(path.stem), path) for path in found)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
