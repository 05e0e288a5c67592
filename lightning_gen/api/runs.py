"""All runs below a folder, as a table."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from lightning_gen.api.measurements import html_table
from lightning_gen.api.run import Run, load
from lightning_gen.runs.read import find_runs, read_run

__all__ = ["Runs", "load_runs"]


class Runs(Sequence[Run]):
    """Runs in a row; a notebook shows them as a table.

    Args:
        items: the runs.
    """

    def __init__(self, items: list[Run]) -> None:
        self.items = items

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> "Runs": ...
    def __getitem__(self, index: int | slice) -> "Run | Runs":
        return Runs(self.items[index]) if isinstance(index, slice) else self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.items)

    def __repr__(self) -> str:
        return f"Runs({', '.join(run.name for run in self.items)})"

    def _repr_html_(self) -> str:
        rows = []
        for run in self.items:
            record = run.record
            best = {name: row["value"] for made in record.evaluations for name, row in made["metrics"].items()}
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in best.items() if value is not None)
            facts = (record.about.get("model"), record.about.get("data"), record.images_seen)
            rows.append((run.name, *map(str, facts), numbers))
        return html_table(("run", "model", "data", "images seen", "newest numbers"), rows)


def load_runs(folder: str | Path = "runs") -> Runs:
    """The trained runs below a folder that have a checkpoint, in order; numbers of different identities in the table do
    not compare: ``lightning-gen compare`` says which do.

    Raises:
        UserError: no such folder, or no run in it.
    """
    found = [path for path in find_runs([Path(folder)]) if not read_run(path).baseline]
    return Runs([load(path) for path in found if _has_checkpoint(path)])


def _has_checkpoint(folder: Path) -> bool:
    return (folder / "checkpoints" / "last.ckpt").is_file() or (folder / "model.safetensors").is_file()
