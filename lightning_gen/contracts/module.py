"""Anything that trains on images: its spec, its counters, its schedule, the part that an EMA follows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse.typing import register_type
from lightning.pytorch import LightningModule
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from lightning_gen.batches import Batch
from lightning_gen.images import ImageSpec
from lightning_gen.schedules import Constant, Schedule

__all__ = ["ImageModule", "OptimizerFactory", "PictureLogger", "StepOutcome", "StepRunner"]


# One value, not a group of arguments: the spec is linked from the data, and a checkpoint stores it as a plain dict.
register_type(ImageSpec, serializer=ImageSpec.as_dict, deserializer=ImageSpec.from_dict)
OptimizerFactory = Callable[[Iterable], Optimizer]
#: called with (kind of step, batch, device part of the step, whether gradients of earlier batches wait); says whether
#: it ran the device part, by capture or replay
StepRunner = Callable[[Hashable, Batch, Callable[[Batch], None], bool], "StepOutcome"]
StepOutcome = Literal["eager", "captured", "replayed"]


class ImageModule(LightningModule, ABC):
    """Anything that trains on batches of images.

    Args:
        spec: of the training images; linked from the data by the command line.
        schedule: factor on every optimizer's learning rate, a function of images seen (None: constant).
    """

    def __init__(self, spec: ImageSpec, schedule: Schedule | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.schedule = schedule or Constant()
        #: training images seen by all processes together: the x axis of every chart and schedule
        self.images_seen = 0
        #: training batches seen by this process; a step that is under way is counted
        self.batches_seen = 0
        #: runs the device part of training steps as captured graphs, where a training has one
        self.step_runner: StepRunner | None = None
        #: set by a callback that must see the gradients of the next step: it is then not replayed
        self.gradients_wanted = False
        # The arguments as the config spelled them (plain values): a checkpoint rebuilds its model from itself.
        self.save_hyperparameters(logger=False)

    @property
    def condition_keys(self) -> tuple[str, ...]:
        """Keys of the batch that condition the model, such as ``label``; empty for an unconditional one."""
        return ()

    def prepare(self, batch: Batch) -> Batch:
        """Add to a batch what only the CPU can compute, such as the numbers of words, before the device part of a
        step."""
        return batch

    @property
    def ema_network(self) -> nn.Module:
        """The part whose weights an exponential moving average follows; samples are drawn from it."""
        return self

    @property
    def ema_copied(self) -> Sequence[str]:
        """Names in the state of `ema_network` of what is copied instead of averaged, such as a mean that moves by
        itself."""
        return ()

    @property
    def accumulating(self) -> bool:
        """Whether the gradients of this batch wait for more of them before an optimizer step."""
        return False

    def count(self, batch: Batch) -> None:
        """Add this batch, on all processes, to `images_seen`; call it at the end of every training step."""
        self.images_seen += len(batch["image"]) * self.trainer.world_size

    @property
    def losses(self) -> dict[str, Tensor]:
        """The losses of the newest training batch by name, detached scalars; logged as ``train/NAME``."""
        return {}

    @property
    def steps(self) -> int:
        """Training steps made so far: the x axis of foreign loggers. Call it in training only."""
        return self.trainer.global_step

    def apply_schedule(self) -> None:
        """Set every optimizer's learning rate to its initial value times the schedule's factor."""
        factor = self.schedule.factor(self.images_seen)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                rate = float(group.setdefault("initial_lr", group["lr"])) * factor
                if isinstance(group["lr"], Tensor):  # captured steps read it on the device
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate

    def step_outputs(self) -> Any:
        """Return the tensors that the device part of a step produces; a replay overwrites them in place."""

    def take_outputs(self, outputs: Any) -> None:
        """Restore what `step_outputs` returned, after a replay."""

    def settle(self) -> None:
        """Put the numbers of this step that change in training, such as the weight of a penalty, into tensors on the
        device, where a captured step reads them."""

    def step_constants(self) -> Hashable:
        """Return the Python numbers that the device part of a step uses and that change in training, such as the weight
        of
        a warm-up. A captured step is replayed only where they are equal."""
        return ()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["images_seen"], checkpoint["batches_seen"] = self.images_seen, self.batches_seen
        arguments = checkpoint.pop("hyper_parameters", {})
        if "_class_path" in arguments:  # built by the configuration; a model built in code has objects as arguments
            checkpoint["hyper_parameters"] = {**arguments, "spec": self.spec.as_dict()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.images_seen, self.batches_seen = checkpoint["images_seen"], checkpoint["batches_seen"]

    def process_state(self) -> dict[str, Any]:
        """Return state that differs between processes, such as a pool of past images, as tensors and plain values; each
        checkpoint keeps that of every process."""
        return {}

    def load_process_state(self, state: dict[str, Any]) -> None:
        """Restore what `process_state` returned."""

    def preview(self, batch: Batch, generator: Generator | None = None) -> Tensor | None:
        """Draw a picture for people of what the model makes: uint8 (H', W', 3), 0..255; None where it makes nothing.

        Args:
            batch: the first validation images, the same each time, on the module's device.
            generator: source of all randomness.
        """
        return None

    def noise(self, *shape: int, generator: Generator | None = None) -> Tensor:
        """Draw standard normal float32 of `shape` on this module's device; drawn where `generator` lives, the CPU by
        default, so that one seed gives one set of samples on every device."""
        device = generator.device if generator is not None else self.device
        return torch.randn(*shape, generator=generator, device=device).to(self.device)

    def uniform(self, *shape: int, generator: Generator | None = None) -> Tensor:
        """Draw the same, uniform in [0, 1)."""
        device = generator.device if generator is not None else self.device
        return torch.rand(*shape, generator=generator, device=device).to(self.device)


class PictureLogger(ABC):
    """A logger that also records pictures, and sound where it can."""

    @abstractmethod
    def log_image(self, name: str, path: Path, images_seen: int) -> None:
        """Record the picture at `path`, a PNG that stays there, as drawn after `images_seen` training images.

        Must not raise where the destination fails.
        """

    def log_sound(self, name: str, path: Path, images_seen: int) -> None:  # noqa: B027
        """Record the sound at `path`, a WAV file that stays there; a logger without sound leaves it out."""
