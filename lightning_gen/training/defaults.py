"""Defaults of the section ``trainer`` that differ from Lightning's. Importing this loads nothing heavy."""

from typing import Any

__all__ = ["TRAINER_DEFAULTS"]

#: a run is as long as ``run.images`` says, shows its own progress, and evaluates by ``run.evaluate_every``
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": -1,
    "accelerator": "auto",
    "devices": 1,
    "enable_model_summary": False,
    "enable_progress_bar": False,
    "limit_val_batches": 0,
    "log_every_n_steps": 20,
}
