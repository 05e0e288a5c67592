"""What to do where a loss is not finite any more."""

import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gen.contracts import ImageModule
from lightning_gen.errors import UserError
from lightning_gen.files import append_json_line

__all__ = ["Divergence"]

_ADVICE = "lower the learning rate, clip gradients, or train in 32 bits"


class Divergence(Callback):
    """Raise an alarm where a loss is not finite; end the training there, by choice.

    Losses are looked at every ``trainer.log_every_n_steps`` steps, when their row is written. The checkpoints stay as
    they were before: see `RunCheckpoint`.

    Args:
        folder: of the run; the alarm is written into ``alarms.jsonl``.
        stop: end the training.

    Raises:
        UserError: on every process, where the training ends.
    """

    def __init__(self, folder: Path, stop: bool) -> None:
        self.folder, self.stop, self.raised = folder, stop, False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or self.raised or (pl_module.steps % every and not trainer.should_stop):
            return
        broken = [name for name, loss in pl_module.losses.items() if not torch.isfinite(loss).all()]
        if trainer.strategy.reduce_boolean_decision(bool(broken), all=False):
            self._alarm(trainer, pl_module, ", ".join(broken) or "a loss on another process")

    def _alarm(self, trainer: Trainer, module: ImageModule, names: str) -> None:
        self.raised = True
        row = {"images_seen": module.images_seen, "alarm": "divergence", "why": f"{names}: not finite"}
        if trainer.is_global_zero:
            append_json_line(self.folder / "alarms.jsonl", row | {"advice": _ADVICE})
        text = f"divergence after {module.images_seen:,} images: {names} not finite"
        if self.stop:
            last = self.folder / "checkpoints" / "last.ckpt"
            kept = f"{last} is of before it" if last.exists() else "it came before the first checkpoint"
            raise UserError(f"{text}, {kept}: want to {_ADVICE}; or --run.stop_on_divergence false")
        if trainer.is_global_zero:
            print(f"lightning-gen: {text}: {_ADVICE}", file=sys.stderr)

    def state_dict(self) -> dict[str, Any]:
        return {"raised": self.raised}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.raised = state_dict["raised"]
