"""Why rows are apart, in words: what the identities of tables of one kind of number do not share."""

from typing import Any

from lightning_gen.runs.tables import Table
from lightning_gen.runs.words import metric_words, plain

__all__ = ["reasons"]

_SAID = {
    "data": "data set",
    "fingerprint": "pixels or splits of the data (fingerprint)",
    "images": "number of real images",
    "levels": "grey levels",
    "samples": "number of samples",
    "extractor": "features",
    "weights": "weights of the extractor",
    "resize": "resize",
    "dtype": "precision of the features",
}


def reasons(tables: list[Table]) -> list[str]:
    """One line for each kind of number (``bits_per_dim``, ``fd``) that stands in more tables than one, and one for
    each table whose bounds are apart."""
    kinds: dict[tuple[str, str], list[Table]] = {}
    for table in tables:
        kinds.setdefault((_kind(table.metric), table.better), []).append(table)
    lines = [
        f"{_title(kind, better)}: {len(members)} tables that do not compare, for they differ in {_differences(members)}"
        for (kind, better), members in kinds.items()
        if len(members) > 1
    ]
    for table in tables:
        bounds = [group.bound for group in table.groups if group.bound]
        if len(bounds) > 1:
            lines.append(
                f"bits/dim on {table.identity.get('split')}: {', '.join(bounds)} are ranked apart, for a bound may be "
                "loose by an amount that nobody knows"
            )
    return lines


def _kind(metric: str) -> str:
    return metric if metric == "bits_per_dim" else metric.partition("_")[0]


def _title(kind: str, better: str) -> str:
    return metric_words(kind, better).partition(",")[0]


def _differences(tables: list[Table]) -> str:
    keys = sorted({key for table in tables for key in table.identity})
    words = []
    for key in keys:
        values = list(dict.fromkeys(_text(table.identity.get(key)) for table in tables))
        if len(values) > 1:
            words.append(f"{_SAID.get(key, key)} ({', '.join(values)})")
    return "; ".join(words) or "nothing that is recorded but their name"


def _text(value: Any) -> str:
    return "not recorded" if value is None else plain(value)
