"""Exponential moving average of the part of a model that samples."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from lightning_gen.contracts import ImageModule
from lightning_gen.graphs import can_capture
from lightning_gen.schedules import HalfLife, Ramp, value_at
from lightning_gen.training.observer import eval_mode
from lightning_gen.training.sharding import gathered, local, scattered, whole

__all__ = ["EMA", "ema_weights"]


class EMA(Callback):
    """Average the weights of `ImageModule.ema_network` (a GAN's generator alone) and put them into each checkpoint.

    Args:
        decay: per training batch, 0..1 (0.999: about the last thousand batches), a ramp over images seen, or a
            half-life in images.
    """

    def __init__(self, decay: float | Ramp | HalfLife = 0.995) -> None:
        self.decay = decay
        self.average: dict[str, torch.Tensor] = {}
        #: averages and what they follow, of floats and of the rest
        self.floats: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []
        self.others: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []
        #: weight of the newest weights, on the device, where steps are captured; whether the last step has averaged
        self.weight: torch.Tensor | None = None
        self.averaged = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Walking the network costs more than averaging a small one: once, when nothing moves its weights any more.
        assert isinstance(pl_module, ImageModule)
        self.floats, self.others = ([], []), ([], [])
        for key, value in pl_module.ema_network.state_dict().items():
            self.average[key] = scattered(self.average.get(key, value).detach(), value).clone()
            averaged = value.is_floating_point() and key not in pl_module.ema_copied
            average, live = self.floats if averaged else self.others
            average.append(local(self.average[key]))
            live.append(local(value))
        self.weight = torch.zeros((), device=pl_module.device) if can_capture(pl_module.device) else None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, ImageModule)
        if self.averaged:
            self.averaged = False
        elif self.in_step(pl_module, pl_module.images_seen):
            self.follow()
        else:
            self._average(1 - self._decay(pl_module, pl_module.images_seen))

    def in_step(self, module: ImageModule, seen: int) -> bool:
        """Say whether `follow` can be a part of this step, after which `seen` images have been seen, and prepare it."""
        weight = 1 - self._decay(module, seen)
        if self.weight is None or weight >= 0.5:  # there its form loses digits
            return False
        self.weight.fill_(weight)
        return True

    @torch.no_grad()
    def follow(self) -> None:
        """Average, with the weight on the device."""
        assert self.weight is not None
        average, live = self.floats
        change = torch._foreach_sub(live, average)
        torch._foreach_mul_(change, self.weight)
        torch._foreach_add_(average, change)
        self._copy()

    @torch.no_grad()
    def _average(self, weight: float) -> None:
        torch._foreach_lerp_(*self.floats, weight)
        self._copy()

    def _copy(self) -> None:
        for average, live in zip(*self.others, strict=True):  # counters of batch norm are copied, not averaged
            average.copy_(live)

    def _decay(self, module: ImageModule, seen: int) -> float:
        # The average of very few steps should not remember the random start for long.
        # Batches, not optimizer steps, of which a GAN makes two: a decay means the same for every family.
        batches = module.batches_seen
        if isinstance(self.decay, HalfLife):
            return self.decay.decay(seen, seen / batches)
        return min(value_at(self.decay, seen), (1 + batches) / (10 + batches))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["ema"] = {key: gathered(value) for key, value in self.average.items()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.average = checkpoint["ema"]


@contextmanager
def ema_weights(trainer: Trainer, module: ImageModule) -> Iterator[None]:
    """Inside, `module` is in eval mode with the averaged weights; the live ones always come back, bit for bit.

    Without an `EMA` among the trainer's callbacks the live weights serve. Call it on every process.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    averages = [callback.average for callback in callbacks if isinstance(callback, EMA)]
    values = {key: gathered(v) for average in averages for key, v in average.items()}
    with eval_mode(module), whole(module), _exchanged(module.ema_network, values):
        yield


@contextmanager
def _exchanged(part: nn.Module, values: dict[str, torch.Tensor]) -> Iterator[None]:
    """Inside, these parameters and buffers of `part` have other values. Not by `state_dict`, before which a model in
    pieces goes back into them."""
    pairs = (part.named_parameters(remove_duplicate=False), part.named_buffers(remove_duplicate=False))
    own = {name: tensor.detach() for name, tensor in chain(*pairs) if name in values}
    live = {name: tensor.clone() for name, tensor in own.items()}
    try:
        for name, tensor in own.items():
            tensor.copy_(values[name])
        yield
    finally:
        for name, tensor in own.items():
            tensor.copy_(live[name])
