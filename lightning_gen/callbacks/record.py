"""What happens at marks of images seen: sample grids, and the end of the run."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gen.base import GenerativeModule, GridLogger, ImageModule
from lightning_gen.callbacks.average import averaged_weights
from lightning_gen.files import write_png
from lightning_gen.images import grid

__all__ = ["ImageBudget", "ImageMarks", "SampleGrids"]


class ImageMarks:
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


class ImageBudget(Callback):
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


class SampleGrids(Callback):
    """Writes a grid of samples with fixed seed into samples/ every so many images and at the end.

    Args:
        folder: of the run.
        every: images between grids; 0: at the end only.
        count: images in a grid.
        seed: of the noise; the same in every grid, so that grids can be flipped through.
    """

    def __init__(self, folder: Path, every: int = 0, count: int = 64, seed: int = 0) -> None:
        self.folder, self.count, self.seed = folder, count, seed
        self.marks = ImageMarks(every)
        self.written = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        # The last grid comes before the last checkpoint: whoever finds that has nothing left to draw.
        due = self.marks.due(pl_module.images_seen) or trainer.should_stop
        if isinstance(pl_module, GenerativeModule) and due:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if isinstance(pl_module, GenerativeModule) and self.written != pl_module.images_seen:
            self._write(trainer, pl_module)

    @torch.no_grad()
    def _write(self, trainer: Trainer, module: GenerativeModule) -> None:
        self.written = module.images_seen
        with averaged_weights(trainer, module):
            if not trainer.is_global_zero:
                return
            samples = module.sample(self.count, generator=torch.Generator().manual_seed(self.seed))
        picture = grid(samples, module.spec.levels).numpy()
        path = self.folder / "samples" / f"{module.images_seen:010d}.png"
        write_png(path, picture)
        for logger in trainer.loggers:
            if isinstance(logger, GridLogger):
                logger.log_image("samples", path, module.images_seen)

    def state_dict(self) -> dict[str, Any]:
        return {"next": self.marks.next, "written": self.written}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.marks.next, self.written = state_dict["next"], state_dict["written"]
