"""Alternating optimisation of a generator against a discriminator: the only manual optimisation in the project."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gen.batches import Batch
from lightning_gen.contracts.generation import GenerativeModule
from lightning_gen.contracts.module import OptimizerFactory
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.schedules import Ramp, Schedule

__all__ = ["AdversarialModule"]


class AdversarialModule(GenerativeModule):
    """Alternating optimisation of a generator against a discriminator: Goodfellow et al. 2014, Algorithm 1.

    A subclass sets `generator` and `discriminator` (or critic), says how fakes are made, and defines both losses.
    Everything that Lightning leaves to manual optimisation is owned here: the frozen opponent, critic steps, clipping,
    accumulation, the schedule, the reuse of fakes, and the average of gradients over processes.

    Args:
        spec: see `ImageModule`.
        generator_optimizer: called with the generator's parameters.
        discriminator_optimizer: called with the discriminator's parameters.
        schedule: see `ImageModule`; applies to both optimizers.
        critic_steps: discriminator steps, each on its own batch, per generator step (k in Algorithm 1), 1 or more.
        accumulate: batches whose gradients are averaged before each optimizer step, 1 or more.
        clip: largest gradient norm of each network (None: no clipping).
        reuse_fakes: make images once for both players where both learn on a batch: one pass of the generator less.
            Algorithm 1 draws fresh ones for each; the generator's gradient is of the same kind, with the noise that
            the discriminator has just seen.
        beta2: a ramp for the second beta of both Adams (R3GAN); None: as the optimizers say.
    """

    generator: nn.Module
    discriminator: nn.Module
    #: what the generator made of this batch for both players, under `reuse_fakes`
    _held: Any = None

    def __init__(
        self,
        spec: ImageSpec,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        critic_steps: int = 1,
        accumulate: int = 1,
        clip: float | None = None,
        reuse_fakes: bool = False,
        beta2: Ramp | None = None,
    ) -> None:
        check_counts("model", critic_steps=critic_steps, accumulate=accumulate)
        if clip is not None and clip <= 0:
            raise UserError(f"model.clip is {clip}: want above 0, or nothing")
        super().__init__(spec, schedule)
        self.reuse_fakes, self.beta2 = reuse_fakes, beta2
        self.automatic_optimization = False
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.critic_steps, self.accumulate, self.clip = critic_steps, accumulate, clip
        self.batches_seen = 0  # not batch_idx: the count of critic steps must not start anew with each epoch
        #: what the newest batch showed, detached, for those who watch: scalars ``loss_d`` and ``loss_g``; logits
        #: ``real`` and ``fake``, higher for images that look real, where the subclass puts them there
        self.latest_losses: dict[str, Tensor] = {}

    @abstractmethod
    def make_fakes(self, batch: Batch) -> Any:
        """What the generator makes for a batch, with its graph."""

    @final
    def fakes(self, batch: Batch) -> Any:
        """The fakes that a loss looks at: those held for both players, else fresh ones."""
        return self.make_fakes(batch) if self._held is None else self._held

    @abstractmethod
    def discriminator_loss(self, batch: Batch) -> Tensor:
        """Scalar that the discriminator minimises; the generator is frozen while it is computed, and fakes that are
        held must be detached."""

    @abstractmethod
    def generator_loss(self, batch: Batch) -> Tensor:
        """Scalar that the generator minimises; the discriminator is frozen while it is computed."""

    def constrain(self) -> None:
        """Called after each step of the discriminator: the place of weight clipping."""

    @property
    def accumulating(self) -> bool:
        return self.batches_seen % self.accumulate != 0

    @property
    def discriminator_steps(self) -> int:
        """Steps that the discriminator has made before this batch."""
        return max(0, self.batches_seen - 1) // self.accumulate

    @property
    def ema_network(self) -> nn.Module:
        return self.generator

    @final
    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.apply_schedule()
        generator_optimizer, discriminator_optimizer = self.optimizers()  # type: ignore[attr-defined]
        self._apply_beta2()
        self.batches_seen += 1
        # The generator learns on the last `accumulate` batches of every `critic_steps` discriminator steps.
        turn = self.discriminator_steps % self.critic_steps == self.critic_steps - 1
        self._held = self.make_fakes(batch) if turn and self.reuse_fakes else None

        with _frozen(generator_optimizer):
            loss = self.discriminator_loss(batch)
            if self._descend(loss, self.discriminator, discriminator_optimizer):
                self.constrain()
        self.latest_losses["loss_d"] = loss.detach()

        if turn:
            with _frozen(discriminator_optimizer):
                loss = self.generator_loss(batch)
                self._descend(loss, self.generator, generator_optimizer)
            self.latest_losses["loss_g"] = loss.detach()
        self._held = None
        self._average_buffers()
        self.count(batch)

    @property
    def steps(self) -> int:
        """Batches: Lightning counts an optimizer step of each player, of which there may be none, one or two in one."""
        return self.batches_seen

    @property
    def losses(self) -> dict[str, Tensor]:
        """The newest loss of each player; none of the generator's before its first turn."""
        return {name: self.latest_losses[name] for name in ("loss_d", "loss_g") if name in self.latest_losses}

    def _apply_beta2(self) -> None:
        if self.beta2 is None:
            return
        value = self.beta2.value(self.images_seen)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                if "betas" not in group:
                    raise UserError(f"model.beta2 is a ramp, {type(optimizer).__name__} has no beta2: want Adam")
                group["betas"] = (group["betas"][0], value)

    def _descend(self, loss: Tensor, network: nn.Module, optimizer: Any) -> bool:
        """One backward pass; where the accumulation is full, one optimizer step of `network`. Whether it was."""
        with self._unsynchronised():
            self.manual_backward(loss if self.accumulate == 1 else loss / self.accumulate)
        if self.accumulating:
            return False
        self._average_gradients(network)
        optimizer.step()
        for group in optimizer.param_groups:  # what `zero_grad` does, without an entry in the trace of a profiler
            for p in group["params"]:
                p.grad = None
        return True

    def _unsynchronised(self) -> AbstractContextManager[None]:
        # DDP's reducer waits for a gradient of every parameter of the module, but each of our two backward passes
        # reaches one network only, so under plain `ddp` it would stop. We average the gradients ourselves.
        model = self.trainer.model
        return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) else nullcontext()

    def _average_gradients(self, network: nn.Module) -> None:
        if self.trainer.world_size == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self.trainer.world_size
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def _average_buffers(self) -> None:
        # Under manual optimisation DDP leaves buffers alone: statistics of batch norm would drift apart.
        if self.trainer.world_size > 1:
            for buffer in (b for b in self.buffers() if b.is_floating_point() and b.numel()):
                torch.distributed.all_reduce(buffer)
                buffer /= self.trainer.world_size

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # After the precision plugin has unscaled the gradients, so the threshold means the same at every precision.
        if self.clip is not None:
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.clip)

    @final
    def configure_optimizers(self) -> list[Optimizer]:
        return [
            self.generator_optimizer(self.generator.parameters()),
            self.discriminator_optimizer(self.discriminator.parameters()),
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["batches_seen"] = self.batches_seen
        checkpoint["losses"] = self.losses

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.batches_seen = checkpoint["batches_seen"]
        self.latest_losses |= checkpoint.get("losses", {})


@contextmanager
def _frozen(optimizer: Any) -> Iterator[None]:
    """The opponent, by its optimizer: gradients flow through it to its input, but not into its weights."""
    learning = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    for p in learning:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)
