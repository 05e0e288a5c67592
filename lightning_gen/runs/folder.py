"""The run folder is the truth: config.yaml, run.json, metrics.jsonl, samples/, checkpoints/."""

import json
import time
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_gen.contracts import ImageModule
from lightning_gen.files import read_json_lines, sync

__all__ = ["RunFolderLogger"]


class RunFolderLogger(Logger):
    """Writes one JSON row per logging step, with images seen and wall time, to ``metrics.jsonl``.

    A row outlives the process as soon as it is written. Forcing each to disk would cost more than the steps of a small
    network: that is done before each checkpoint, as a resumed run drops younger rows, and at the end.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        # A resumed run goes on counting where its last row stopped.
        self.started = time.time() - _seconds(self.folder / "metrics.jsonl")
        self.module: ImageModule | None = None  # set before training: the source of the x axis

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def version(self) -> str:
        return ""

    @property
    def log_dir(self) -> str:
        return str(self.folder)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The configuration is in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row: dict[str, Any] = {
            "images_seen": self.module.images_seen if self.module else 0,
            "seconds": round(time.time() - self.started, 3),
        }
        # A NaN stays visible as null instead of breaking every JSON reader.
        row |= {k: float(v) if abs(float(v)) < float("inf") else None for k, v in metrics.items() if k != "epoch"}
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "metrics.jsonl", "a") as stream:
            stream.write(json.dumps(row) + "\n")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        sync(self.folder / "metrics.jsonl")


def _seconds(path: Path) -> float:
    rows = read_json_lines(path) if path.exists() else []
    return rows[-1].get("seconds", 0.0) if rows else 0.0
