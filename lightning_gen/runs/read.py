"""Reading run folders: finished, in progress or killed half-way; what cannot be read is reported, never fatal."""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lightning_gen.config.messages import flat
from lightning_gen.errors import UserError

__all__ = ["Grid", "RunRecord", "find_runs", "read_neighbours", "read_run", "read_runs"]

_MARKS = ("run.json", "metrics.jsonl", "evaluations.jsonl")


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
    return ["/".join(p[-depth:]) for p in parts]


def read_run(folder: Path, label: str | None = None) -> RunRecord:
    """Read one run folder; a missing or damaged file leaves its part empty and a line in `problems`."""
    problems: list[str] = []
    about = _mapping(folder / "run.json", json.loads, problems)
    config = _mapping(folder / "config.yaml", yaml.safe_load, problems)
    metrics = _rows(folder / "metrics.jsonl", problems)
    evaluations = [row for row in _rows(folder / "evaluations.jsonl", problems) if isinstance(row.get("metrics"), dict)]
    return RunRecord(
        folder=folder,
        label=label or folder.resolve().name,
        about=about,
        config=flat(config) if config else {},
        metrics=sorted(metrics, key=lambda row: row["images_seen"]),
        evaluations=evaluations,
        grids=_grids(folder / "samples"),
        problems=problems,
    )


def read_neighbours(folder: Path) -> dict[str, Any]:
    """What `lightning-gen evaluate` says beside ``neighbours.png``; empty where there is nothing."""
    return _mapping(folder / "neighbours.json", json.loads, [])


def _text(path: Path, problems: list[str]) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""  # a run that has just begun, or a baseline, lacks some files
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
        return ""


def _mapping(path: Path, parse: Any, problems: list[str]) -> dict[str, Any]:
    try:
        value = parse(_text(path, problems) or "{}")
    except (ValueError, yaml.YAMLError):
        value = None
    if not isinstance(value, dict):
        problems.append(f"{path.name}: cannot be read")
        return {}
    return _finite(value)


def _rows(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """Rows with images_seen; a writer that was killed leaves a torn line, which a resumed one may follow."""
    lines = _text(path, problems).splitlines()
    rows = [row for row in map(_row, lines) if row is not None]
    torn = sum(bool(line.strip()) for line in lines) - len(rows)
    if torn:
        problems.append(f"{path.name}: {torn} damaged line{'s' if torn > 1 else ''} left out")
    return rows


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = _finite(json.loads(line))
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("images_seen"), int) else None


def _finite(value: Any) -> Any:
    """`value` with None for each number that is not finite."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _grids(folder: Path) -> list[Grid]:
    return sorted(Grid(int(path.stem), path) for path in folder.glob("*.png") if path.stem.isdecimal())
