"""Callbacks that break a training on purpose."""

import os
import signal
from typing import Any

import torch
from lightning.pytorch import Callback


class Spoil(Callback):
    """Set one weight to NaN.

    Args:
        images: seen by then.
    """

    def __init__(self, images: int) -> None:
        self.images = images

    @torch.no_grad()
    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if pl_module.images_seen == self.images:
            next(iter(pl_module.parameters())).view(-1)[0] = float("nan")


class Send(Callback):
    """Send a signal to this process.

    Args:
        number: of the signal.
        images: seen by then.
    """

    def __init__(self, number: int, images: int) -> None:
        self.number, self.images = number, images

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if pl_module.images_seen == self.images:
            os.kill(os.getpid(), signal.Signals(self.number))
