"""What a run needs to go on as if it had never stopped, and when that is written: last, the one before, and the best.

A checkpoint is written between two batches only, so it never holds half a step; a signal that asks the training to
leave waits for that moment. Beside what Lightning stores (weights, optimizers, loops, callbacks) it has, for each
process, the state of every random number generator, the position of its loader and, in the middle of an accumulation,
its gradients. The rows of metrics of its batch are on disk before it.
"""

import random
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint

from lightning_gen.contracts import ImageModule
from lightning_gen.files import sync
from lightning_gen.training.callbacks.record import ImageInterval
from lightning_gen.training.callbacks.watcher import Watcher
from lightning_gen.training.checkpoint_io import keep
from lightning_gen.training.preemption import Preempted, Signals
from lightning_gen.training.sharding import gathered, scattered

__all__ = ["Checkpoints", "Monitor", "random_state", "seed_random_state", "set_random_state"]


class Monitor(Watcher, ABC):
    """A callback that gives the model a score now and then: the best checkpoint is the one with the lowest."""

    @property
    @abstractmethod
    def score(self) -> tuple[int, float] | None:
        """Images seen and value of the newest evaluation, the same on every process; a lower value is better. None
        before the first, or where the value is not finite."""


class Checkpoints(Watcher, Checkpoint):
    """Writes ``last.ckpt`` at marks of images seen or minutes and at the end; keeps the one before it as
    ``previous.ckpt``; ``best.ckpt`` is the one with the lowest score of the trainer's `Monitor`.

    Lightning calls it after all other callbacks, so their marks are already past this batch.

    Args:
        folder: that holds the checkpoints.
        every_images: images between checkpoints; 0: at the end only.
        every_minutes: minutes between checkpoints, by the clock of the first process; 0: no such marks.
    """

    def __init__(self, folder: Path, every_images: int = 0, every_minutes: float = 0.0) -> None:
        self.folder, self.every_minutes = Path(folder), every_minutes
        self.interval = ImageInterval(every_images)
        self.saved_at = time.monotonic()
        self.saved, self.ended = -1, False
        self.best, self.best_at = float("inf"), -1
        self.signals = Signals()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = time.monotonic()
        self.signals.install(trainer)
        if self.restored is not None:
            for name, p in pl_module.named_parameters():
                if name in self.restored["gradients"]:
                    p.grad = scattered(self.restored["gradients"][name], p)
            # Last of all: what building loaders and starting callbacks drew must not count.
            set_random_state(self.restored["random"])
            self.restored = None
            if trainer.is_global_zero and self.best_at == self.saved:  # killed before it was kept as the best, perhaps
                keep(self.folder / "last.ckpt", self.folder / "best.ckpt")
        elif trainer.global_rank:
            # All processes were seeded alike, for equal weights; from here on each draws its own noise.
            seed_random_state(torch.initial_seed() + 1_000_003 * trainer.global_rank)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        due = self.interval.due(pl_module.images_seen)
        best = self._improved(trainer, pl_module)
        wanted = self._wanted(trainer)
        if due or best or trainer.should_stop or wanted:
            self._save(trainer, pl_module, best)
        if wanted and not trainer.should_stop and (number := self.signals.agreed(trainer)):
            raise Preempted(number, pl_module.images_seen)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        self.ended = True
        best = self._improved(trainer, pl_module)
        if best or self.saved != pl_module.images_seen:
            self._save(trainer, pl_module, best)

    def _wanted(self, trainer: Trainer) -> bool:
        """Whether the minutes have passed on the first process, or any process was sent a signal."""
        passed = bool(self.every_minutes) and time.monotonic() - self.saved_at >= 60 * self.every_minutes
        mine = bool(self.signals.number) or (passed and trainer.is_global_zero)
        return trainer.strategy.reduce_boolean_decision(mine, all=False)

    def _improved(self, trainer: Trainer, module: ImageModule) -> bool:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        scores = [callback.score for callback in callbacks if isinstance(callback, Monitor)]
        for images_seen, value in [score for score in scores if score][:1]:
            if images_seen == module.images_seen and value < self.best:
                self.best, self.best_at = value, images_seen
                return True
        return False

    def _save(self, trainer: Trainer, module: ImageModule, best: bool) -> None:
        self.saved, self.saved_at = module.images_seen, time.monotonic()
        last = self.folder / "last.ckpt"
        if trainer.is_global_zero:
            sync(self.folder.parent / "metrics.jsonl")  # a checkpoint on disk without its rows would lose them
            if last.exists():
                keep(last, self.folder / "previous.ckpt")
        trainer.save_checkpoint(last)
        if best and trainer.is_global_zero:
            keep(last, self.folder / "best.ckpt")

    #: what this process saved: random state and gradients are set when training starts, after a resume
    restored: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        assert isinstance(pl_module, ImageModule)
        loop = checkpoint["loops"]["fit_loop"]
        if not self.ended:
            _count_epoch(loop["epoch_progress"])
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
        # With another number of processes a run goes on, but not bit for bit: the new ones keep their fresh seeds.
        if trainer.global_rank < len(checkpoint["ranks"]):
            own = checkpoint["ranks"][trainer.global_rank]
            self.restored = own
            assert isinstance(pl_module, ImageModule)
            pl_module.load_process_state(own["module"])
            checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"] = own["loader"]

    def state_dict(self) -> dict[str, Any]:
        return {"next": self.interval.next, "best": self.best, "best_at": self.best_at, "saved": self.saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.interval.next, self.best, self.saved = state_dict["next"], state_dict["best"], state_dict["saved"]
        self.best_at = state_dict.get("best_at", -1)


def _count_epoch(progress: dict[str, dict[str, int]]) -> None:
    """Between two batches an epoch has begun and is not over. Lightning 2.6 forgets to count the epoch that follows a
    resume from the last batch of one: the next resume would take it for finished and begin its data anew."""
    for counts in progress.values():
        counts["ready"] = counts["started"] = counts["processed"] + 1


def random_state() -> dict[str, Any]:
    """The state of all random number generators of this process, as tensors and plain values."""
    numpy = np.random.get_state(legacy=False)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].tolist()}},
    }


def set_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    key = np.array(state["numpy"]["state"]["key"], dtype=np.uint32)
    np.random.set_state({**state["numpy"], "state": {**state["numpy"]["state"], "key": key}})


def seed_random_state(seed: int) -> None:
    """Seed all random number generators of this process."""
    torch.manual_seed(seed)  # those of all devices as well
    random.seed(seed)
    np.random.seed(seed % 2**32)
