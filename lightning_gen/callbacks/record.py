"""What is kept of a run at marks of images seen: sample grids and checkpoints; and where the run ends."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gen.base import GenerativeModule, ImageModule
from lightning_gen.files import write_png
from lightning_gen.images import grid

__all__ = ["ImageBudget", "SampleGrids"]


class ImageBudget(Callback):
    """Ends training after `images` training images, for every family alike, and keeps the last checkpoint.

    Args:
        images: budget, 1 or more.
        folder: of the run.
    """

    def __init__(self, images: int, folder: Path) -> None:
        self.images, self.folder = images, folder

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        if pl_module.images_seen >= self.images:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.save_checkpoint(self.folder / "checkpoints" / "last.ckpt")


class SampleGrids(Callback):
    """Writes a grid of samples with fixed seed into samples/ every so many images and at the end.

    Args:
        folder: of the run.
        every: images between grids.
        count: images in a grid.
        seed: of the noise; the same in every grid, so that grids can be flipped through.
    """

    def __init__(self, folder: Path, every: int, count: int = 64, seed: int = 0) -> None:
        self.folder, self.every, self.count, self.seed = folder, every, count, seed
        self.next = every

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, GenerativeModule)
        if pl_module.images_seen >= self.next:
            self.next = (pl_module.images_seen // self.every + 1) * self.every
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, GenerativeModule)
        self._write(trainer, pl_module)

    @torch.no_grad()
    def _write(self, trainer: Trainer, module: GenerativeModule) -> None:
        if not trainer.is_global_zero or module.condition_keys:
            return
        training = module.training
        module.eval()
        generator = torch.Generator().manual_seed(self.seed)
        samples = module.sample(self.count, generator=generator)
        module.train(training)
        picture = grid(samples, module.spec.levels).numpy()
        write_png(self.folder / "samples" / f"{module.images_seen:010d}.png", picture)
