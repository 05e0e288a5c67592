"""How fast a training is, and what it waits for."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gen.contracts import ImageModule

__all__ = ["Speed"]


class Speed(Callback):
    """Measure a training between two rows of metrics; `row` gives the numbers.

    speed/images_per_second     training images, all processes together, with all that happens between the rows
    speed/data_wait             share of the time from the end of a batch to the beginning of the next: loading, mostly
    speed/memory_gb             largest memory that tensors took on this process's GPU; not on a CPU
    """

    def __init__(self) -> None:
        self.since, self.images, self.waited, self.ended = 0.0, 0, 0.0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        self.since = self.ended = time.perf_counter()
        self.images, self.waited = pl_module.images_seen, 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.waited += time.perf_counter() - self.ended

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.ended = time.perf_counter()

    def row(self, module: ImageModule) -> dict[str, float]:
        """Numbers since the last call; call it after the losses have been read, which waits for the device."""
        now = time.perf_counter()
        passed = max(now - self.since, 1e-9)
        found = {
            "speed/images_per_second": (module.images_seen - self.images) / passed,
            "speed/data_wait": self.waited / passed,
        }
        if module.device.type == "cuda":
            found["speed/memory_gb"] = torch.cuda.max_memory_allocated(module.device) / 1e9
        self.since, self.images, self.waited = now, module.images_seen, 0.0
        return found
