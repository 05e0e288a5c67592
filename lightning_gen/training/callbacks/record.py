"""What a training writes down as it goes on, losses and sample grids; and its end, after so many images."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gen.batches import Batch, to_device
from lightning_gen.contracts import GenerativeModule, ImageData, ImageModule, PictureLogger
from lightning_gen.evaluation.chains import LENGTH, draw_chain, makes_chains
from lightning_gen.files import atomic_write, write_png
from lightning_gen.music.sound import sine_wav
from lightning_gen.training.callbacks.speed import Speed
from lightning_gen.training.ema import ema_weights
from lightning_gen.training.interval import ImageInterval
from lightning_gen.training.metrics import log_metrics, monitor_metrics
from lightning_gen.training.observer import Observer

__all__ = ["ImageBudget", "LossLogging", "SampleGrids"]

#: samples per second of the melodies of a training: a third of a megabyte each
_RATE = 11025


class ImageBudget(Callback):
    """End training after `images` training images, for every family alike.

    Args:
        images: budget, 1 or more.
    """

    def __init__(self, images: int) -> None:
        self.images = images

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        if pl_module.images_seen >= self.images:
            trainer.should_stop = True


class LossLogging(Callback):
    """Log `ImageModule.losses` as ``train/NAME`` every ``trainer.log_every_n_steps`` steps and at the end.

    The losses of every batch are among `Trainer.callback_metrics`; they are read from the device only where a row is
    written.
    """

    def __init__(self) -> None:
        self.logged = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        monitor_metrics(trainer, {f"train/{name}": loss for name, loss in pl_module.losses.items()})
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or (pl_module.steps % every and not trainer.should_stop):
            return
        if pl_module.automatic_optimization and pl_module.accumulating:  # the step is not over
            return
        self._log(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        if trainer.log_every_n_steps and self.logged != pl_module.images_seen:  # type: ignore[attr-defined]
            self._log(trainer, pl_module)

    def _log(self, trainer: Trainer, module: ImageModule) -> None:
        self.logged = module.images_seen
        if trainer.is_global_zero:  # reading a loss waits for the device
            row = {f"train/{name}": loss.item() for name, loss in module.losses.items()}
            speeds = [callback.row(module) for callback in trainer.callbacks if isinstance(callback, Speed)]  # type: ignore[attr-defined]
            log_metrics(trainer, module, {k: v for part in (row, *speeds) for k, v in part.items()})

    def state_dict(self) -> dict[str, Any]:
        return {"logged": self.logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.logged = state_dict["logged"]


class SampleGrids(Observer):
    """Write a picture of what the model makes into samples/ every so many images and at the end.

    It is `ImageModule.preview` with a fixed seed. A model of bars writes a melody beside it, as WAV.

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

    def _write(self, trainer: Trainer, module: ImageModule) -> None:
        self.written = module.images_seen
        with self.observing():
            self._draw(trainer, module)

    def _draw(self, trainer: Trainer, module: ImageModule) -> None:
        with ema_weights(trainer, module):
            if not trainer.is_global_zero:
                return
            data: ImageData = trainer.datamodule  # type: ignore[attr-defined]
            batch = to_device(next(data.batches("val", self.count, 0, self.count)), module.device)
            picture = module.preview(batch, torch.Generator().manual_seed(self.seed))
            self._play(trainer, module, batch)
        if picture is None:
            return
        path = self.folder / "samples" / f"{module.images_seen:010d}.png"
        write_png(path, picture.cpu().numpy())
        for logger in trainer.loggers:
            if isinstance(logger, PictureLogger):
                logger.log_image("samples", path, module.images_seen)

    def _play(self, trainer: Trainer, module: ImageModule, batch: Batch) -> None:
        """Write a melody over the chords of the first eight bars, where the images are bars; see `draw_chain`."""
        if not (isinstance(module, GenerativeModule) and makes_chains(module)):
            return
        chords, before = batch["label"][None, :LENGTH].cpu(), batch["previous"][:1].cpu()
        melody = draw_chain(module, chords, before, torch.Generator().manual_seed(self.seed))[0]
        path = self.folder / "samples" / f"{module.images_seen:010d}.wav"
        with atomic_write(path) as stream:
            stream.write(sine_wav(melody, chords[0].tolist(), rate=_RATE))
        for logger in trainer.loggers:
            if isinstance(logger, PictureLogger):
                logger.log_sound("melody", path, module.images_seen)

    def state_dict(self) -> dict[str, Any]:
        return {"interval": self.interval.state_dict(), "written": self.written}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.interval.load_state_dict(state_dict["interval"])
        self.written = state_dict["written"]
