"""Error bars over seeds: runs whose configurations differ in nothing but seed, name and place are one model."""

import json
import math
from typing import NamedTuple

from lightning_gen.runs.read import RunRecord
from lightning_gen.runs.tables import Group, Table

__all__ = ["SeedRow", "over_seeds"]

#: keys of a configuration that make no other model; what is measured, and on what, is in the identity of each number
_SAME = (
    *("seed_everything", "data.init_args.seed", "evaluation.", "run.name", "run.root", "run.resume", "run.wandb"),
    *("run.grid_every", "run.evaluate_every", "run.save_every", "run.save_minutes"),
)


class SeedRow(NamedTuple):
    """One model in one group of a table: the mean over its seeds and the standard error of that mean.

    error is None where there is one seed: a single number has no spread.
    """

    label: str
    checkpoint: str
    runs: list[str]
    values: list[float]
    mean: float
    error: float | None


def over_seeds(table: Table) -> list[tuple[str | None, list[SeedRow]]]:
    """Bound and rows, best first, of each group of `table` that holds a model with two seeds or more; models with one
    seed stand among them. Values that are not finite leave their model out."""
    found = [(group.bound, _rows(group, table.better)) for group in table.groups]
    return [(bound, rows) for bound, rows in found if any(len(row.values) > 1 for row in rows)]


def _rows(group: Group, better: str) -> list[SeedRow]:
    members: dict[tuple[str, str], list[tuple[str, float | None]]] = {}
    for row in group.rows:
        score = row.score
        if not score.run.baseline:
            members.setdefault((_model(score.run), score.checkpoint), []).append((score.run.label, score.value))
    rows = []
    for (_, checkpoint), pairs in members.items():
        values = [value for _, value in pairs if value is not None]
        if len(values) == len(pairs):
            labels = sorted(label for label, _ in pairs)
            rows.append(SeedRow(labels[0], checkpoint, labels, values, *_mean(values)))
    return sorted(rows, key=lambda row: -row.mean if better == "higher" else row.mean)


def _model(run: RunRecord) -> str:
    """What makes two runs the same model; a run without a configuration is like no other."""
    kept = {key: value for key, value in run.config.items() if not key.startswith(_SAME)}
    return json.dumps(kept, sort_keys=True, default=str) if kept else str(run.folder)


def _mean(values: list[float]) -> tuple[float, float | None]:
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
