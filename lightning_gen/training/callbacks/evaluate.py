"""Evaluation in training, by the same protocol as afterwards."""

import json
import math
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_gen.contracts import ImageData, ImageModule, LikelihoodModule
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.evaluation.rows import Metrics, evaluation_row
from lightning_gen.files import append_json_line
from lightning_gen.finite import finite_weights
from lightning_gen.training.checkpoints import ModelScore
from lightning_gen.training.ema import ema_weights
from lightning_gen.training.interval import ImageInterval
from lightning_gen.training.metrics import end_evaluation, log_metrics

__all__ = ["Evaluate"]


class Evaluate(ModelScore):
    """Evaluate the averaged weights every so many images and at the end.

    Each evaluation writes a row of ``evaluations.jsonl``, logs ``eval/NAME``, and calls ``on_validation_end`` of all
    callbacks: EarlyStopping and ModelCheckpoint look at the new values then. The score is bits/dim where the model has
    a likelihood, the PSNR of a translation of pairs, else the first distance.

    The first distance is logged under a short name as well, without its features and their hash (``eval/fd`` for
    ``eval/fd_classifier-f19adbd2``): a sweep, whose trials share them, names its metric by that on every machine.

    Args:
        evaluation: what is measured.
        folder: of the run.
        every: images between evaluations; 0: at the end only.
    """

    def __init__(self, evaluation: Evaluation, folder: Path, every: int = 0) -> None:
        self.evaluation, self.folder = evaluation, folder
        self.interval = ImageInterval(every)
        self.measured = -1
        self.latest: tuple[int, float, str] | None = None
        self.logged = False
        #: of the metrics that have been logged
        self.names: list[str] = []

    @property
    def score(self) -> tuple[int, float, str] | None:
        return self.latest

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        if self.interval.due(pl_module.images_seen) or trainer.should_stop:
            self._measure(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        self._measure(trainer, pl_module)

    def _measure(self, trainer: Trainer, module: ImageModule) -> None:
        if self.measured == module.images_seen:
            return
        self.measured = module.images_seen
        self.logged = False
        with self.observing():
            self._evaluate(trainer, module)
        if self.logged:  # outside: a ModelCheckpoint of the user saves the random state of the training
            with self.holding_back():
                end_evaluation(trainer, module)

    def _evaluate(self, trainer: Trainer, module: ImageModule) -> None:
        data, began = trainer.datamodule, time.monotonic()  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        with ema_weights(trainer, module):
            usable = finite_weights(module)
            metrics = self.evaluation.measure(module, data) if usable else {}
        if not usable:
            self._log_not_finite(trainer, module)
        if not metrics:
            return
        self.names = list(_by_name(metrics))
        name, first = next(iter(metrics.items()))
        measure = f"{name} {json.dumps(first['identity'], sort_keys=True, default=str)}"
        sign = -1.0 if first["better"] == "higher" else 1.0  # of scores, lower is better
        self.latest = (module.images_seen, sign * first["value"], measure) if first["value"] is not None else None
        if trainer.is_global_zero:
            checkpoint = "last" if trainer.should_stop else "training"  # only at the end a checkpoint has these weights
            row = evaluation_row(
                module.images_seen, checkpoint, self.evaluation.split, time.monotonic() - began, metrics
            )
            append_json_line(self.folder / "evaluations.jsonl", row)
        log_metrics(trainer, module, _by_name(metrics))
        self.logged = True

    def _log_not_finite(self, trainer: Trainer, module: ImageModule) -> None:
        """Log no number for a model without finite weights: a Fréchet distance of its images would be one."""
        likelihood = isinstance(module, LikelihoodModule)
        self.latest, names = None, self.names or ["eval/bits_per_dim" if likelihood else "eval/fd"]
        log_metrics(trainer, module, dict.fromkeys(names, math.nan))
        self.logged = True

    def state_dict(self) -> dict[str, Any]:
        return {"interval": self.interval.state_dict(), "measured": self.measured, "names": self.names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.interval.load_state_dict(state_dict["interval"])
        self.measured, self.names = state_dict["measured"], state_dict["names"]


def _by_name(metrics: Metrics) -> dict[str, float]:
    """Metrics -> ``eval/NAME``, NaN where there is no finite value; the first distance under its short name too."""
    values = {f"eval/{name}": math.nan if m["value"] is None else m["value"] for name, m in metrics.items()}
    for name in [name for name, m in metrics.items() if "extractor" in m["identity"]][:1]:
        values[f"eval/{name.partition('_')[0]}"] = values[f"eval/{name}"]
    for name in [name for name, m in metrics.items() if {"judge", "towers"} & m["identity"].keys()]:
        values[f"eval/{name.rpartition('_')[0]}"] = values[f"eval/{name}"]
    return values
