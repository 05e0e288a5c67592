"""What is written down as a training goes on: rows of losses, sample grids; and its end, after so many images."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from lightning_gen.batches import to_device
from lightning_gen.contracts import ImageData, ImageModule, PictureLogger
from lightning_gen.files import write_png
from lightning_gen.training.callbacks.watcher import Watcher
from lightning_gen.training.ema import ema_weights

__all__ = ["ImageBudget", "ImageInterval", "LossLogging", "SampleGrids"]


class ImageInterval:
    """The marks at every `every` images seen: `due` is true once at each, whatever the batch size.

    Args:
        every: images between marks; 0: no marks.
    """

    def __init__(self, every: int) -> None:
        self.every = self.next = every

    def due(self, images_seen: int) -> bool:
        """Whether a mark has been passed since the last one."""
        if not self.every or images_seen < self.next:
            return False
        self.next = (images_seen // self.every + 1) * self.every
        return True


class ImageBudget(Watcher):
    """Ends training after `images` training images, for every family alike.

    Args:
        images: budget, 1 or more.
    """

    def __init__(self, images: int) -> None:
        self.images = images

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        if pl_module.images_seen >= self.images:
            trainer.should_stop = True


class LossLogging(Watcher):
    """Gives `ImageModule.losses` to the loggers, as ``train/NAME``, every ``trainer.log_every_n_steps`` steps, and at
    the last batch.

    Not by `LightningModule.log`: that goes through all that was ever logged in every batch, reads what a progress bar
    shows from the device each time, and writes the row of a batch after the checkpoint that should hold it.
    """

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or not trainer.is_global_zero or (pl_module.steps % every and not trainer.should_stop):
            return
        if pl_module.automatic_optimization and pl_module.accumulating:  # the step is not over
            return
        row = {f"train/{name}": loss.item() for name, loss in pl_module.losses.items()}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)


class SampleGrids(Watcher):
    """Writes a grid of samples with fixed seed into samples/ every so many images and at the end.

    Args:
        folder: of the run.
        every: images between grids; 0: at the end only.
        count: images in a grid.
        seed: of the noise; the same in every grid, so that grids can be flipped through.
    """

    def __init__(self, folder: Path, every: int = 0, count: int = 64, seed: int = 0) -> None:
        self.folder, self.count, self.seed = folder, count, seed
        self.interval = ImageInterval(every)
        self.written = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        # The last grid comes before the last checkpoint: whoever finds that has nothing left to draw.
        if self.interval.due(pl_module.images_seen) or trainer.should_stop:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        if self.written != pl_module.images_seen:
            self._write(trainer, pl_module)

    @torch.no_grad()
    def _write(self, trainer: Trainer, module: ImageModule) -> None:
        self.written = module.images_seen
        with ema_weights(trainer, module):
            if not trainer.is_global_zero:
                return
            data: ImageData = trainer.datamodule  # type: ignore[attr-defined]
            batch = to_device(next(data.batches("val", self.count, 0, self.count)), module.device)
            picture = module.preview(batch, torch.Generator().manual_seed(self.seed))
        if picture is None:
            return
        path = self.folder / "samples" / f"{module.images_seen:010d}.png"
        write_png(path, picture.cpu().numpy())
        for logger in trainer.loggers:
            if isinstance(logger, PictureLogger):
                logger.log_image("samples", path, module.images_seen)

    def state_dict(self) -> dict[str, Any]:
        return {"next": self.interval.next, "written": self.written}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.interval.next, self.written = state_dict["next"], state_dict["written"]
