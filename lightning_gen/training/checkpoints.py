"""Checkpoints of a run: the last, the one before it and the best, each with all that an exact resume needs.

A checkpoint is written between two batches only, so it never holds half a step; a signal that asks the training to
leave waits for that moment. Beside what Lightning stores (weights, optimizers, loops, callbacks) it has, for each
process, the state of every random number generator, the position of its loader and, in the middle of an accumulation,
its gradients. The rows of metrics of its batch are on disk before it, and it says how long their files were.
"""

import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping

from lightning_gen.contracts import ImageModule
from lightning_gen.files import sync
from lightning_gen.finite import finite_weights
from lightning_gen.runs.folder import row_files
from lightning_gen.training.checkpoint_io import keep
from lightning_gen.training.interval import ImageInterval
from lightning_gen.training.observer import Observer, raised_by_observers
from lightning_gen.training.optimizers import Options, apply_changes, options_of
from lightning_gen.training.preemption import Agreement, Preempted, Signals
from lightning_gen.training.random_state import random_state, seed_process, set_random_state
from lightning_gen.training.sharding import gathered, local, scattered

__all__ = ["ModelScore", "RunCheckpoint"]


class ModelScore(Observer, ABC):
    """A callback that scores the model now and then: the best checkpoint is the one with the lowest score."""

    @property
    @abstractmethod
    def score(self) -> tuple[int, float, str] | None:
        """Images seen, value and measure of the newest evaluation, the same on every process; a lower value is better.
        None before the first, or where the value is not finite. Values of different measures are not comparable."""


class RunCheckpoint(Checkpoint):
    """Write ``last.ckpt`` at intervals of images or minutes and at the end.

    The last one but one stays as ``previous.ckpt``; ``best.ckpt`` is the one with the lowest score of the trainer's
    `ModelScore`. Weights that are not finite replace none of them. Lightning calls this callback after all others, so
    what they log and count is in the checkpoint. An error that an `Observer` held back is raised after it.

    Args:
        folder: that holds the checkpoints.
        every_images: images between checkpoints; 0: at the end only.
        every_minutes: minutes between checkpoints, by the clock of the first process; 0: no such checkpoints.
    """

    def __init__(self, folder: Path, every_images: int = 0, every_minutes: float = 0.0) -> None:
        self.folder, self.every_minutes = Path(folder), every_minutes
        self.interval = ImageInterval(every_images)
        self.saved_at = time.monotonic()
        self.saved, self.ended, self.refused = -1, False, False
        self.rows: dict[str, int] = {}
        self.best, self.best_at, self.measure = float("inf"), -1, ""
        self.signals, self.agreement = Signals(), Agreement()
        #: of the optimizers, as the present configuration makes them, and as that of the checkpoint did
        self.options: Options = []
        self.options_before: Options = []
        #: what this process saved: random state and gradients are set when training starts, after a resume
        self.restored: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.options = options_of(trainer.optimizers)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = time.monotonic()
        self.signals.install(trainer)
        if self.restored is None:
            seed_process(trainer.global_rank)
            return
        apply_changes(trainer.optimizers, self.options_before, self.options)
        for name, p in pl_module.named_parameters():
            if name in self.restored["gradients"]:
                p.grad = scattered(self.restored["gradients"][name], p)
        # Last of all: what building loaders and starting callbacks drew must not count.
        set_random_state(self.restored["random"])
        self.restored = None
        if trainer.is_global_zero and self.best_at == self.saved:  # killed before it was kept as the best, perhaps
            keep(self.folder / "last.ckpt", self.folder / "best.ckpt")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        due = self.interval.due(pl_module.images_seen)
        best = self._improved(trainer, pl_module)
        passed = bool(self.every_minutes) and time.monotonic() - self.saved_at >= 60 * self.every_minutes
        number, passed = self.agreement(trainer, self.signals.number, passed and trainer.is_global_zero)
        failure = raised_by_observers(trainer)
        if due or best or trainer.should_stop or passed or number or failure:
            self._save(trainer, pl_module, best)
        if failure:
            raise failure
        if number and not trainer.should_stop:
            raise Preempted(number, pl_module.images_seen)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        self.ended = True
        best = self._improved(trainer, pl_module)
        logged = trainer.strategy.broadcast(self._row_sizes() != self.rows)
        failure = raised_by_observers(trainer)
        if best or logged or self.saved != pl_module.images_seen:
            self._save(trainer, pl_module, best)
        if failure:
            raise failure

    def _improved(self, trainer: Trainer, module: ImageModule) -> bool:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        scores = [callback.score for callback in callbacks if isinstance(callback, ModelScore)]
        for images_seen, value, measure in [score for score in scores if score][:1]:
            if images_seen == module.images_seen and (value < self.best or measure != self.measure):
                self.best, self.best_at, self.measure = value, images_seen, measure
                return True
        return False

    def _save(self, trainer: Trainer, module: ImageModule, best: bool) -> None:
        self.saved_at, last = time.monotonic(), self.folder / "last.ckpt"
        if not trainer.strategy.reduce_boolean_decision(finite_weights(module, local)):
            self._refuse(trainer, module)
            return
        self.saved = module.images_seen
        if trainer.is_global_zero:
            for path in row_files(self.folder.parent):  # a checkpoint on disk without its rows would lose them
                sync(path)
            if last.exists():
                keep(last, self.folder / "previous.ckpt")
        self.rows = self._row_sizes()
        trainer.save_checkpoint(last)
        if best and trainer.is_global_zero:
            keep(last, self.folder / "best.ckpt")

    def _refuse(self, trainer: Trainer, module: ImageModule) -> None:
        """Keep the checkpoints of before, and say so once."""
        if trainer.is_global_zero and not self.refused:
            kept = f"last.ckpt stays that of {self.saved:,} images" if self.saved >= 0 else "there is none yet"
            text = f"no checkpoint after {module.images_seen:,} images: weights are not finite, {kept}"
            print(f"lightning-gen: {text}", file=sys.stderr)
        self.refused = True

    def _row_sizes(self) -> dict[str, int]:
        """Bytes of each file of rows."""
        return {path.name: path.stat().st_size for path in row_files(self.folder.parent) if path.exists()}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        assert isinstance(pl_module, ImageModule)
        loop = checkpoint["loops"]["fit_loop"]
        if not self.ended:
            _count_epoch(loop["epoch_progress"])
        checkpoint["rows"], checkpoint["optimizer_options"] = self._row_sizes(), self.options
        # Gradients that wait for more batches differ between processes, and no sum of them could be taken apart again.
        waiting = pl_module.named_parameters() if pl_module.accumulating else ()
        own = {
            "random": random_state(),
            "module": pl_module.process_state(),
            "loader": loop["state_dict"].get("combined_loader", []),
            "gradients": {name: gathered(p.grad).cpu() for name, p in waiting if p.grad is not None},
        }
        states: list[Any] = [own]
        if trainer.world_size > 1:
            states = [None] * trainer.world_size
            torch.distributed.gather_object(own, states if trainer.is_global_zero else None)
        checkpoint["ranks"] = states

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.options_before = checkpoint["optimizer_options"]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping) and callback.state_key in checkpoint["callbacks"]:
                checkpoint["callbacks"][callback.state_key]["patience"] = callback.patience  # else it would be the old
        # With another number of processes a run goes on, but not bit for bit: the new ones keep their fresh seeds.
        if trainer.global_rank < len(checkpoint["ranks"]):
            own = checkpoint["ranks"][trainer.global_rank]
            self.restored = own
            assert isinstance(pl_module, ImageModule)
            pl_module.load_process_state(own["module"])
            checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"] = own["loader"]

    def state_dict(self) -> dict[str, Any]:
        about = {"best": self.best, "best_at": self.best_at, "measure": self.measure, "saved": self.saved}
        return {"interval": self.interval.state_dict(), **about}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.interval.load_state_dict(state_dict["interval"])
        self.best, self.best_at, self.saved = (state_dict[name] for name in ("best", "best_at", "saved"))
        self.measure = state_dict["measure"]


def _count_epoch(progress: dict[str, dict[str, int]]) -> None:
    """Count the epoch that follows a resume from the last batch of one, which Lightning 2.6 forgets.

    Between two batches an epoch has begun and is not over. Without this, the next resume would take it for finished and
    begin its data anew.
    """
    for counts in progress.values():
        counts["ready"] = counts["started"] = counts["processed"] + 1
