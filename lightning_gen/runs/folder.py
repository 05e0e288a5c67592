"""The run folder is the truth: config.yaml, run.json, metrics.jsonl, samples/, checkpoints/."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_gen.contracts import ImageModule
from lightning_gen.errors import UserError
from lightning_gen.files import append_json_line, sync
from lightning_gen.reading import parse_json, read_tail

__all__ = ["METRICS", "RunFolderLogger", "row_files"]

METRICS = "metrics.jsonl"
#: bytes at the end of a file of rows, among which whole rows are
_TAIL = 1 << 16
#: seconds of a century, which no training takes
_AGE = 3.2e9
#: files of a run folder whose rows belong to moments of the training
_ROWS = (METRICS, "evaluations.jsonl", "alarms.jsonl")


def row_files(folder: Path) -> list[Path]:
    """Return the files of a run folder that training appends rows to."""
    return [folder / name for name in _ROWS]


class RunFolderLogger(Logger):
    """Write one JSON row per logging step, with images seen and wall time, to ``metrics.jsonl``.

    A row outlives the process as soon as it is written. Forcing each to disk would cost more than the steps of a small
    network: that is done before each checkpoint, as a resumed run drops younger rows, and at the end.

    Args:
        folder: of the run. Lightning's own callbacks and profilers write into it as well.
        module: that counts the images: the x axis.
    """

    def __init__(self, folder: str | Path, module: ImageModule) -> None:
        super().__init__()
        self.folder, self.module = Path(folder), module
        self.began = time.time()
        self.before: float | None = None

    @property
    def name(self) -> str:
        return ""  # Lightning joins save_dir, name and version: all of a run lies in one folder

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def log_dir(self) -> str:
        return str(self.folder)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The configuration is in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        path = self.folder / METRICS
        if self.before is None:  # a resumed run goes on counting where its last row stopped
            self.before = _seconds(path)
        row: dict[str, Any] = {
            "images_seen": self.module.images_seen,
            "seconds": round(time.time() - self.began + self.before, 3),
        }
        row |= {name: float(value) for name, value in metrics.items() if name != "epoch"}
        append_json_line(path, row, flush=False)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        sync(self.folder / METRICS)


def _seconds(path: Path) -> float:
    """Seconds of training until the last whole row; 0 where there is none."""
    for line in reversed(read_tail(path, _TAIL).split("\n")):
        try:
            seconds = parse_json(line, "row")["seconds"]
        except (UserError, KeyError, TypeError, IndexError):
            continue
        if isinstance(seconds, int | float) and 0 <= seconds < _AGE:
            return float(seconds)
    return 0.0
