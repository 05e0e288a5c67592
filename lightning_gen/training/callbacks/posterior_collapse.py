"""Rate and distortion of a VAE in training, and one plain line where its posterior collapses."""

import sys
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_gen.batches import to_device, without_image
from lightning_gen.contracts import ImageData, ImageModule, VariationalModule
from lightning_gen.evaluation.collection import BLOCK, seeded
from lightning_gen.training.ema import ema_weights
from lightning_gen.training.interval import ImageInterval
from lightning_gen.training.metrics import log_metrics
from lightning_gen.training.observer import Observer

__all__ = ["PosteriorCollapseMonitor"]


class PosteriorCollapseMonitor(Observer):
    """Log ``eval/rate`` and ``eval/distortion`` of a VAE, nats per image over the first validation images.

    Warn on stderr, once, where a group of latent variables carries next to nothing.

    Args:
        every: images between measurements; 0: at the end only.
        images: how many are measured, 1 or more, in blocks of `BLOCK`.
        least: nats per image and group below which the alarm is raised.
    """

    def __init__(self, every: int = 0, images: int = 256, least: float = 0.05) -> None:
        self.interval, self.images, self.least, self.warned = ImageInterval(every), images, least, False
        self.measured = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        if self.interval.due(pl_module.images_seen) or trainer.should_stop:
            self._measure(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        self._measure(trainer, pl_module)

    def _measure(self, trainer: Trainer, module: ImageModule) -> None:
        if not isinstance(module, VariationalModule) or self.measured == module.images_seen:
            return
        self.measured = module.images_seen
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        with self.observing():
            with ema_weights(trainer, module):
                means = self._means(module, data) if trainer.is_global_zero else (0.0, [])
            distortion, rates = trainer.strategy.broadcast(means)
            log_metrics(trainer, module, {"eval/rate": sum(rates), "eval/distortion": distortion})
            self._warn(trainer, module, rates)

    def _warn(self, trainer: Trainer, module: ImageModule, rates: list[float]) -> None:
        dead = [str(i) for i, rate in enumerate(rates) if rate < self.least]
        if not dead or self.warned:
            return
        self.warned = True
        where = f"layers {', '.join(dead)} of {len(rates)}" if len(rates) > 1 else "its codes"
        text = f"posterior collapse after {module.images_seen} images: {where} carry less than {self.least} nats"
        if trainer.is_global_zero:
            print(f"lightning-gen: {text}", file=sys.stderr)

    def _means(self, module: VariationalModule, data: ImageData) -> tuple[float, list[float]]:
        """Return distortion and rate of each group of latent variables, nats per image."""
        log_likelihood, kl = self._terms(module, data)
        return -log_likelihood.mean().item(), kl.mean(0).tolist()

    def _terms(self, module: VariationalModule, data: ImageData) -> tuple[Tensor, Tensor]:
        """Return `VariationalModule.terms` of the first images.

        They are computed in blocks: the likelihoods of all levels of hundreds of images do not fit into memory.
        """
        found = []
        for block, batch in enumerate(data.batches("val", BLOCK, 0, self.images)):
            here = to_device(batch, module.device)
            with seeded(module.device, 0, block):
                found.append(module.terms(here["image"], without_image(here)))
        log_likelihood, kl = zip(*found, strict=True)
        return torch.cat(log_likelihood), torch.cat(kl)

    def state_dict(self) -> dict[str, Any]:
        return {"interval": self.interval.state_dict(), "warned": self.warned, "measured": self.measured}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.interval.load_state_dict(state_dict["interval"])
        self.warned, self.measured = state_dict["warned"], state_dict["measured"]
