"""Rate and distortion of a VAE in training, and one plain line where its posterior collapses."""

import sys
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_gen.batches import to_device, without_image
from lightning_gen.contracts import ImageData, ImageModule, VariationalModule
from lightning_gen.evaluation.collection import BLOCK, seeded
from lightning_gen.training.callbacks.record import ImageInterval
from lightning_gen.training.callbacks.watcher import Watcher
from lightning_gen.training.ema import ema_weights

__all__ = ["PosteriorCollapseMonitor"]


class PosteriorCollapseMonitor(Watcher):
    """``eval/rate`` and ``eval/distortion``, nats per image over the first validation images, at every mark; a warning
    on stderr, once, where a group of latent variables carries next to nothing. Does nothing for other models.

    Args:
        every: images between measurements; 0: at the end only.
        images: how many are looked at, 1 or more, in blocks of `BLOCK`.
        least: nats per image and group below which the alarm is raised.
    """

    def __init__(self, every: int = 0, images: int = 256, least: float = 0.05) -> None:
        self.interval, self.images, self.least, self.told = ImageInterval(every), images, least, False
        self.measured = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if isinstance(pl_module, ImageModule) and self.interval.due(pl_module.images_seen):
            self._measure(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if isinstance(pl_module, ImageModule):
            self._measure(trainer, pl_module)

    @torch.no_grad()
    def _measure(self, trainer: Trainer, module: ImageModule) -> None:
        if not isinstance(module, VariationalModule) or self.measured == module.images_seen:
            return
        self.measured = module.images_seen
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        with ema_weights(trainer, module):
            if not trainer.is_global_zero:
                return
            log_likelihood, kl = self._terms(module, data)
        rates = kl.mean(0).tolist()
        values = {"eval/rate": sum(rates), "eval/distortion": -log_likelihood.mean().item()}
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)
        dead = [str(i) for i, rate in enumerate(rates) if rate < self.least]
        if dead and not self.told:
            self.told = True
            where = f"layers {', '.join(dead)} of {len(rates)}" if len(rates) > 1 else "its codes"
            text = f"posterior collapse after {module.images_seen} images: {where} carry less than {self.least} nats"
            print(f"lightning-gen: {text}", file=sys.stderr)

    def _terms(self, module: VariationalModule, data: ImageData) -> tuple[Tensor, Tensor]:
        """`VariationalModule.terms` of the first images, block by block: the likelihoods of all levels of hundreds of
        pictures would not fit into memory at once."""
        found = []
        for block, batch in enumerate(data.batches("val", BLOCK, 0, self.images)):
            here = to_device(batch, module.device)
            with seeded(module.device, 0, block):
                found.append(module.terms(here["image"], without_image(here)))
        log_likelihood, kl = zip(*found, strict=True)
        return torch.cat(log_likelihood), torch.cat(kl)

    def state_dict(self) -> dict[str, Any]:
        return {"next": self.interval.next, "told": self.told, "measured": self.measured}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.interval.next, self.told = state_dict["next"], state_dict["told"]
        self.measured = state_dict.get("measured", -1)
