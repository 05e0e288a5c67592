"""Training by one optimizer on one loss, written once: eager, accumulated, or as a captured step."""

from abc import abstractmethod
from typing import Any, final

from torch import Tensor
from torch.optim import Optimizer

from lightning_gen.batches import Batch
from lightning_gen.contracts.module import ImageModule, OptimizerFactory
from lightning_gen.distributed import average_gradients, copy_from_first_process
from lightning_gen.images import ImageSpec
from lightning_gen.precision import full_precision
from lightning_gen.schedules import Schedule

__all__ = ["DescentModule"]


class DescentModule(ImageModule):
    """A model that minimises one loss.

    Args:
        spec: see `ImageModule`.
        optimizer: called with the parameters, e.g. ``{class_path: torch.optim.Adam, init_args: {lr: 1e-3}}``.
        schedule: see `ImageModule`.
    """

    #: loss of the newest training batch, a scalar
    latest_loss: Tensor | None = None
    #: what it is called in charts
    loss_name: str = "loss"

    def __init__(self, spec: ImageSpec, optimizer: OptimizerFactory, schedule: Schedule | None = None) -> None:
        super().__init__(spec, schedule)
        self.optimizer_factory = optimizer
        self._gradients_wait = self._descended = False
        #: average gradients over processes here, not by the strategy, so that a captured step holds that too
        self.averages_gradients = False

    @abstractmethod
    def batch_loss(self, batch: Batch) -> Tensor:
        """Return the scalar to minimise."""

    @final
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        batch = self.prepare(batch)
        self.apply_schedule()
        self.batches_seen += 1
        if self.averages_gradients:
            copy_from_first_process([b for b in self.buffers() if b.numel()])
        self.settle()
        first, last = self._place_in_accumulation(batch_idx)
        outcome = "eager"
        if self.step_runner:
            key = (first, last, self.step_constants())
            outcome = self.step_runner(key, batch, lambda rows: self._descend(rows, first, last), not first)
        self._gradients_wait, self._descended = outcome == "eager" or not last, outcome != "eager"
        loss = None if self._descended else self._loss(batch)
        self.count(batch)
        if self._descended and self.averages_gradients:  # several processes may not skip a step
            return self.latest_loss
        return loss

    def _place_in_accumulation(self, batch_idx: int) -> tuple[bool, bool]:
        """Say whether this batch is the first, and the last, of those whose gradients make one step."""
        count = self.trainer.accumulate_grad_batches  # type: ignore[attr-defined]
        if count == 1:
            return True, True
        return batch_idx % count == 0, not self.trainer.fit_loop._should_accumulate()

    def _loss(self, batch: Batch) -> Tensor:
        loss = self.batch_loss(batch)
        self.latest_loss = loss.detach()
        return loss

    def _descend(self, batch: Batch, first: bool, last: bool) -> None:
        """Do what Lightning does around `training_step`, for a captured graph: add gradients to those that wait, unless
        this batch is the `first`, and make the optimizer's step where it is the `last`."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        if first:
            optimizer.zero_grad()
        loss, count = self._loss(batch), self.trainer.accumulate_grad_batches  # type: ignore[attr-defined]
        with full_precision(loss):
            (loss if count == 1 else loss / count).backward()
            if last:
                self._step(optimizer)

    def _step(self, optimizer: Optimizer) -> None:
        if self.averages_gradients:
            average_gradients(self)
        self.configure_gradient_clipping(
            optimizer,
            self.trainer.gradient_clip_val,  # type: ignore[attr-defined]
            self.trainer.gradient_clip_algorithm,  # type: ignore[attr-defined]
        )
        optimizer.step()
        optimizer.zero_grad()

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        if not self._descended:  # else the gradients of this batch are there already, and may wait
            optimizer.zero_grad()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if not self._descended:
            super().backward(loss, *args, **kwargs)

    def step_outputs(self) -> Any:
        return self.latest_loss

    def take_outputs(self, outputs: Any) -> None:
        self.latest_loss = outputs

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """React to a full accumulation of gradients, before they are clipped and used."""
        if self._gradients_wait and self.averages_gradients:
            average_gradients(self)
        self._gradients_wait = False

    @property
    def accumulating(self) -> bool:
        return self._gradients_wait

    @property
    def losses(self) -> dict[str, Tensor]:
        return {} if self.latest_loss is None else {self.loss_name: self.latest_loss}

    @final
    def configure_optimizers(self) -> Optimizer:
        return self.optimizer_factory(self.parameters())
