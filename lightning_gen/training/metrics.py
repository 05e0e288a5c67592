"""Metrics of a training on their way to the loggers and to the callbacks that monitor them."""

from collections.abc import Mapping

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

from lightning_gen.contracts import ImageModule
from lightning_gen.errors import UserError

__all__ = ["end_evaluation", "log_metrics", "monitor_metrics"]


def log_metrics(trainer: Trainer, module: ImageModule, metrics: Mapping[str, float]) -> None:
    """Give a row of metrics to every logger, and to callbacks that monitor one of them.

    `LightningModule.log` is not used: it writes the row of a batch after the checkpoint that should hold it. Call this
    on every process; loggers write on the first one alone.
    """
    monitor_metrics(trainer, {name: torch.tensor(float(value)) for name, value in metrics.items()})
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.log_metrics(dict(metrics), step=module.steps)


def monitor_metrics(trainer: Trainer, metrics: Mapping[str, Tensor]) -> None:
    """Put scalars into `Trainer.callback_metrics`, where EarlyStopping and ModelCheckpoint look."""
    trainer.callback_metrics.update(metrics)


def end_evaluation(trainer: Trainer, module: ImageModule) -> None:
    """Tell all callbacks that new evaluation metrics are there, as Lightning does after a validation.

    Raises:
        UserError: a callback monitors a metric that does not exist.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EarlyStopping | ModelCheckpoint):
            monitor = callback.monitor
            if monitor is not None and monitor not in trainer.callback_metrics:
                known = ", ".join(sorted(trainer.callback_metrics))
                raise UserError(f"trainer.callbacks: {type(callback).__name__} monitors {monitor}: want one of {known}")
        callback.on_validation_end(trainer, module)
