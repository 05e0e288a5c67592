"""Numbers of a model in a notebook: rows with the identity that says which of them compare."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from lightning_gen.evaluation.rows import Metrics
from lightning_gen.runs.words import bound_words, identity_words

__all__ = ["Measurements", "html_table"]


class Measurements(Mapping[str, float | None]):
    """What an evaluation measured: ``found["bits_per_dim"]`` is the value, `rows` has everything beside it.

    Args:
        metrics: name -> value, error, direction and identity.
        split: of the images.
        images_seen: by the model in training.
    """

    def __init__(self, metrics: Metrics, split: str, images_seen: int) -> None:
        self.metrics, self.split, self.images_seen = metrics, split, images_seen

    def __getitem__(self, name: str) -> float | None:
        return self.metrics[name]["value"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each number: metric, value, error, better (lower or higher), and what it is of, in words."""
        return [
            {
                "metric": name,
                "value": metric["value"],
                "error": metric["error"],
                "better": metric["better"],
                "what": _what(metric),
            }
            for name, metric in self.metrics.items()
        ]

    def __repr__(self) -> str:
        numbers = ", ".join(f"{row['metric']}: {_shown(row['value'], row['error'])}" for row in self.rows)
        return f"Measurements({numbers}; {self.split} split, {self.images_seen:,} images seen)"

    def _repr_html_(self) -> str:
        rows = [(r["metric"], _shown(r["value"], r["error"]), r["better"], r["what"]) for r in self.rows]
        return html_table(("metric", "value ± error", "better", "what it is"), rows)


def _shown(value: float | None, error: float | None) -> str:
    if value is None:
        return "not finite"
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"


def _what(metric: dict[str, Any]) -> str:
    identity = dict(metric["identity"])
    bound = identity.pop("bound", None)
    return "; ".join([*([bound_words(bound)] if bound else []), identity_words(identity)])


def html_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table as HTML; nothing in a cell acts."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
