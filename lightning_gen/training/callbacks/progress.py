"""The progress of a training in one line: images seen, losses or bits/dim, images per second, time left."""

import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lightning_gen.contracts import ImageModule

__all__ = ["ImageProgress"]


class ImageProgress(Callback):
    """Show a bar over images seen on a terminal, and a plain line every so often in a log file.

    Args:
        name: of the run.
        images: budget of the run.
        seconds: between two plain lines where the output is no terminal; 0: none.
    """

    def __init__(self, name: str, images: int, seconds: float = 30.0) -> None:
        self.name, self.images, self.seconds = name, images, seconds
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.shown = self.began = 0.0
        self.first = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        self.began, self.shown, self.first = time.monotonic(), time.monotonic(), pl_module.images_seen
        if trainer.is_global_zero and sys.stderr.isatty():
            columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, refresh_per_second=4)
            self.task = self.bar.add_task("", total=self.images, completed=self.first)
            self.bar.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        now = time.monotonic()
        # Reading a metric waits for the device: a few times a second on a terminal, rarely in a log file.
        pause = 0.25 if self.bar else self.seconds
        if not trainer.is_global_zero or not pause or now - self.shown < pause:
            return
        self.shown = now
        line = self._line(pl_module, now)
        if self.bar:
            self.bar.update(self.task, completed=pl_module.images_seen, description=line)
        else:
            print(f"{self.name}: {line}", file=sys.stderr, flush=True)

    def _line(self, module: ImageModule, now: float) -> str:
        rate = (module.images_seen - self.first) / max(now - self.began, 1e-9)
        values = [f"{name} {float(loss):.3f}" for name, loss in module.losses.items()]
        return ", ".join([f"{module.images_seen:,} of {self.images:,} images", *values, f"{rate:,.0f} img/s"])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
