"""Which numbers may stand in one table, and in which order: rows that are not comparable are never ranked together.

A `Group` holds the scores whose metric and identity (all keys but ``seed``) are equal; only within one are rows ranked.
A `Table` holds groups that differ in nothing but the bound of a likelihood, for reading side by side.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from lightning_gen.errors import UserError
from lightning_gen.runs.read import RunRecord
from lightning_gen.runs.words import identity_words

__all__ = ["Group", "Row", "Score", "Table", "build_tables", "scores"]

#: in the order shown; all but "exact" are, in expectation, upper bounds on the negative log-likelihood
_BOUNDS = ("exact", "dequantized", "iwae-k", "elbo")
_SPLITS = ("test", "val", "train")
#: the baseline that is what a perfect model would get: shown, but nothing to beat
_PERFECT = ("baseline-real", "baseline-target", "real-vs-real")


class Score(NamedTuple):
    """One measured value of one checkpoint; value None: not finite."""

    run: RunRecord
    metric: str
    value: float | None
    error: float | None
    better: str
    not_finite: int | None
    identity: dict[str, Any]
    checkpoint: str
    images_seen: int

    @property
    def bound(self) -> str | None:
        """What kind of likelihood this is; None for other metrics."""
        bound = self.identity.get("bound")
        return None if bound is None else str(bound)


@dataclass(frozen=True)
class Row:
    """A score in its group.

    Args:
        score: the value and where it is from.
        rank: 1 for the best; None for baselines and values that are not finite. Equal values share a rank.
        beats: whether it beats the best baseline: "yes", "no", "within error", "not shown" (an upper bound on the
            negative log-likelihood above an exact baseline proves nothing), or None where there is none to beat.
    """

    score: Score
    rank: int | None = None
    beats: str | None = None


@dataclass(frozen=True)
class Group:
    """Rows that may be ranked together, best first, baselines last.

    Args:
        bound: of a likelihood; None for other metrics.
        rows: at least one.
        baseline: the one that the rows are held against, None where there is none.
    """

    bound: str | None
    rows: list[Row]
    baseline: Score | None = None


@dataclass(frozen=True)
class Table:
    """Groups of one metric that differ at most in the bound.

    Args:
        metric: name.
        better: "lower" or "higher".
        identity: what all rows share: all keys but ``seed`` and ``bound``.
        groups: one per bound; each has ranks of its own.
    """

    metric: str
    better: str
    identity: dict[str, Any]
    groups: list[Group] = field(default_factory=list)

    @property
    def caption(self) -> str:
        """The identity in plain words."""
        return identity_words(self.identity)


def scores(run: RunRecord) -> list[Score]:
    """The scores of one run; of the same checkpoint, split and metric the later row counts.

    A value taken during training is left out where a checkpoint was measured in the same way.
    """
    latest: dict[tuple[str, str, str], Score] = {}
    for row in run.evaluations:
        for metric, entry in row["metrics"].items():
            score = _score(run, row, metric, entry)
            if score is not None:
                latest[score.checkpoint, str(score.identity.get("split")), metric] = score
    measured = {_key(score) for score in latest.values() if score.checkpoint != "training"}
    return [score for score in latest.values() if score.checkpoint != "training" or _key(score) not in measured]


def _score(run: RunRecord, row: dict[str, Any], metric: str, entry: Any) -> Score | None:
    """None where the entry does not say what was measured: such a number cannot be compared with any other."""
    if not isinstance(entry, dict) or not isinstance(entry.get("identity"), dict) or "value" not in entry:
        return None
    return Score(
        run=run,
        metric=metric,
        value=_number(entry["value"]),
        error=_number(entry.get("error")),
        better="higher" if entry.get("better") == "higher" else "lower",
        not_finite=entry.get("not_finite"),
        identity=entry["identity"],
        checkpoint=str(row.get("checkpoint")),
        images_seen=row["images_seen"],
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _key(score: Score, *but: str) -> tuple[str, str, str]:
    identity = {key: value for key, value in score.identity.items() if key not in ("seed", *but)}
    return score.metric, score.better, json.dumps(identity, sort_keys=True)


def build_tables(runs: Iterable[RunRecord], metric: str | None = None, split: str | None = None) -> list[Table]:
    """All scores of `runs`, sorted into tables.

    Args:
        runs: to compare.
        metric: keep this one only: its name, or what stands before the hash (``fd_classifier``).
        split: keep this one only.

    Raises:
        UserError: there are scores, but none of this metric and split.
    """
    found = [score for run in runs for score in scores(run)]
    kept = [s for s in found if metric in (None, s.metric, s.metric.rpartition("-")[0])]
    kept = [s for s in kept if split in (None, s.identity.get("split"))]
    if found and not kept:
        names = sorted({f"{s.metric} on {s.identity.get('split')}" for s in found})
        raise UserError(f"nothing is recorded for --metric {metric} --split {split}: want one of {', '.join(names)}")
    tables: dict[tuple[str, str, str], list[Score]] = {}
    for score in kept:
        tables.setdefault(_key(score, "bound"), []).append(score)
    return sorted((_table(members) for members in tables.values()), key=_order)


def _order(table: Table) -> tuple[Any, ...]:
    split = str(table.identity.get("split"))
    first = _SPLITS.index(split) if split in _SPLITS else len(_SPLITS)
    rank = (table.metric != "bits_per_dim", table.better == "higher", table.metric)
    return (str(table.identity.get("data")), first, *rank, table.caption)


def _table(members: list[Score]) -> Table:
    bounds: dict[str | None, list[Score]] = {}
    for score in members:
        bounds.setdefault(score.bound, []).append(score)
    exact = _best_baseline(bounds.get("exact", []))
    ordered = sorted(bounds, key=lambda bound: _BOUNDS.index(bound) if bound in _BOUNDS else len(_BOUNDS))
    shared = {key: value for key, value in members[0].identity.items() if key not in ("seed", "bound")}
    groups = [_group(bound, bounds[bound], exact) for bound in ordered]
    return Table(members[0].metric, members[0].better, shared, groups)


def _best_baseline(members: list[Score]) -> Score | None:
    marks = [s for s in members if s.run.baseline and s.value is not None and s.run.about.get("name") not in _PERFECT]
    return min(marks, key=_goodness, default=None)


def _goodness(score: Score) -> float:
    """Lower is better; what is not finite is worst."""
    if score.value is None:
        return float("inf")
    return -score.value if score.better == "higher" else score.value


def _group(bound: str | None, members: list[Score], exact: Score | None) -> Group:
    own = _best_baseline(members)
    # The length of a real code is exact, and an upper bound below it has beaten it all the same.
    baseline = own or (exact if bound else None)
    rows = [Row(score) for score in sorted(members, key=lambda s: (s.run.baseline, _goodness(s), s.run.label))]
    rank, previous = 0, None
    for index, row in enumerate(rows):
        if row.score.run.baseline or row.score.value is None:
            continue
        if row.score.value != previous:
            rank, previous = index + 1, row.score.value
        beats = _beats(row.score, baseline, own is None) if baseline else None
        rows[index] = replace(row, rank=rank, beats=beats)
    return Group(bound, rows, baseline)


def _beats(score: Score, baseline: Score, one_sided: bool) -> str:
    """See `Row.beats`; `one_sided`: the score is an upper bound, the baseline is exact."""
    gain = _goodness(baseline) - _goodness(score)
    error = ((score.error or 0.0) ** 2 + (baseline.error or 0.0) ** 2) ** 0.5
    if abs(gain) <= error and error > 0:
        return "within error"
    if gain > 0:
        return "yes"
    return "not shown" if one_sided else "no"
