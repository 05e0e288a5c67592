"""Training steps as captured CUDA graphs: a whole step, launched at once.

On a GPU small and middle-sized networks of every family are bound by the launching of kernels, one by one from Python.
A captured step is recorded once, forward and backward pass, clipping, optimizer and average of the weights, and then
replayed as one launch.

What runs in Python around it stays as it is: schedules, counters, rows, checkpoints, callbacks. Lightning's own
work for a batch runs on the CPU while the device still computes the batch before.
"""

import sys
from collections.abc import Callable, Hashable
from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from torch import Tensor
from torch.nn import Parameter
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Adam, AdamW, Optimizer

from lightning_gen.batches import Batch
from lightning_gen.contracts import DescentModule, ImageModule, StepOutcome
from lightning_gen.errors import UserError
from lightning_gen.graphs import Recorder, Replays, can_capture
from lightning_gen.training.ema import EMA

__all__ = ["CapturedSteps", "make_capturable", "reason_against", "take_over_averages"]

#: eager steps of each kind before it is captured: data-dependent starts, optimizer states, choice of algorithms
_WARMUP = 3
#: kinds of steps that are captured at most; each holds memory
_MOST_KINDS = 16
#: batches at most that are eager while an average of the weights forgets its start
_EARLY = 32
#: hooks inside a step, which a replay does not call
_INSIDE = ("on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad")


@final
class CapturedSteps(Callback):
    """Capture and replay the training steps of a module where that is possible; say in one line whether, and why not.

    A step is of one kind as long as the same players move and the numbers of Python that it takes in stay equal
    (`ImageModule.step_constants`). Each kind is captured after a few eager steps.

    Args:
        wanted: None: where it is possible; True: refuse to train where it is not; False: never.
    """

    def __init__(self, wanted: bool | None = None) -> None:
        self.wanted = wanted
        self.steps: dict[Hashable, _Step] = {}
        self.seen: dict[Hashable, int] = {}
        self.record: Recorder | None = None
        self.module: ImageModule | None = None
        self.parameters: list[Parameter] = []
        self.ema: EMA | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        if can_capture(pl_module.device):  # an eager run on the same device has the same arithmetic
            for optimizer in trainer.optimizers:
                make_capturable(optimizer, pl_module.device)
        why = "run.capture is False" if self.wanted is False else reason_against(trainer, pl_module)
        if why and self.wanted:
            raise UserError(f"run.capture is True: {why}; want nothing, or False")
        if trainer.is_global_zero and can_capture(pl_module.device):
            print(f"steps: {f'eager, {why}' if why else 'captured as CUDA graphs'}", file=sys.stderr)
        if why is None:
            self.module, self.parameters = pl_module, list(pl_module.parameters())
            self.ema = next((c for c in trainer.callbacks if isinstance(c, EMA)), None)  # type: ignore[attr-defined]
            self.record = Replays.recorders[pl_module.device.type]()
            pl_module.step_runner = self.run
            take_over_averages(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageModule)
        pl_module.step_runner = None
        self.steps.clear()
        self.record = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get("optimizer_states", [])  # of a model in pieces the first process has them
        for state, optimizer in zip(states, trainer.optimizers, strict=False):
            for group in state.get("param_groups", []):  # plain numbers, and the user's choice: a CPU may go on
                group["lr"] = float(group["lr"])
                group |= {key: optimizer.defaults[key] for key in ("capturable", "fused") if key in group}

    def run(self, key: Hashable, batch: Batch, body: Callable[[Batch], None], waiting: bool = False) -> StepOutcome:
        """Run `body` on `batch` by its graph.

        Args:
            key: of the kind of step.
            batch: training images.
            body: the device part of a step.
            waiting: whether gradients of earlier batches wait, which the step adds to.

        Returns:
            "eager": nothing was done, the caller does it; "captured": `body` ran in Python too; "replayed": it did not.
        """
        assert self.module is not None
        shapes = ((name, value.shape) for name, value in batch.items() if isinstance(value, Tensor))
        there = tuple(p.grad is not None for p in self.parameters) if waiting else ()
        averaged = self._averaged_in_step(batch)
        key = (key, there, averaged, *shapes)
        early = self.ema is not None and not averaged and self.module.batches_seen <= _EARLY
        if self.module.gradients_wanted or early:
            return "eager"
        if (step := self.steps.get(key)) is not None:
            step.replay(batch)
            self.module.take_outputs(step.outputs)
            self._note_average(averaged)
            return "replayed"
        if len(self.steps) >= _MOST_KINDS or len(self.seen) > 100 * _MOST_KINDS:  # kinds that never come again
            return "eager"
        self.seen[key] = self.seen.get(key, 0) + 1
        if self.seen[key] <= _WARMUP:
            return "eager"
        assert self.record is not None
        if not waiting:
            for p in self.parameters:  # gradients are made anew inside, in the graph's own memory
                p.grad = None
        step = _Step(self.module, self.parameters, batch, self._with_average(body, averaged), self.record)
        self.steps[key] = step
        self.module.take_outputs(step.outputs)  # what recording has put there lies in memory that graphs share
        self._note_average(averaged)
        return "captured"

    def _averaged_in_step(self, batch: Batch) -> bool:
        """Whether the weights are averaged inside this step, not by the callback after it."""
        assert self.module is not None
        seen = self.module.images_seen + len(batch["image"]) * self.module.trainer.world_size
        return self.ema is not None and self.ema.in_step(self.module, seen)

    def _with_average(self, body: Callable[[Batch], None], averaged: bool) -> Callable[[Batch], None]:
        def both(rows: Batch) -> None:
            body(rows)
            if self.ema is not None and averaged:
                self.ema.follow()

        return both

    def _note_average(self, averaged: bool) -> None:
        if self.ema is not None:
            self.ema.averaged = averaged


class _Step:
    """One kind of step: the batch and the gradients it reads, and what it leaves behind. It is run.

    Args:
        module: whose step it is.
        parameters: of the module.
        batch: the first one.
        body: see `CapturedSteps.run`.
        record: makes graphs that share memory: they never run at once, and none reads what another made but gradients
            that wait, which are kept here.
    """

    def __init__(
        self,
        module: ImageModule,
        parameters: list[Parameter],
        batch: Batch,
        body: Callable[[Batch], None],
        record: Recorder,
    ) -> None:
        self.batch, self.parameters = batch.copy(), parameters
        for key, value in batch.items():
            if isinstance(value, Tensor):
                self.batch[key] = value.clone()  # type: ignore[literal-required]
        self.before = [p.grad for p in parameters]
        self.graph = record(lambda: body(self.batch))
        self.after = [p.grad for p in parameters]
        self.waits = any(g is not None for g in (*self.before, *self.after))
        self.outputs = module.step_outputs()
        self.graph.replay()  # recording has computed nothing

    def replay(self, batch: Batch) -> None:
        for key, value in batch.items():
            if isinstance(value, Tensor):
                self.batch[key].copy_(value, non_blocking=True)  # type: ignore[literal-required]
        if not self.waits:
            self.graph.replay()
            return
        for p, own in zip(self.parameters, self.before, strict=True):
            if own is not None and p.grad is not own and p.grad is not None:  # of an eager step, or of another graph
                own.copy_(p.grad)
        self.graph.replay()
        for p, own in zip(self.parameters, self.after, strict=True):
            p.grad = own


def make_capturable(optimizer: Optimizer, device: torch.device) -> None:
    """Keep the step count and the learning rate of `optimizer` on `device`, where a graph reads them; take Adam's fused
    step where nothing else was asked for: with numbers on the device its other one divides parameter by parameter, a
    seventh of all kernels of a Glow."""
    if "capturable" not in optimizer.defaults:
        return
    for group in optimizer.param_groups:
        group["capturable"] = True
        if type(optimizer) in (Adam, AdamW) and group["fused"] is None and group["foreach"] is None:
            group["fused"] = all(p.dtype == torch.float32 for p in group["params"]) or None
        group.setdefault("initial_lr", float(group["lr"]))
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
    for state in optimizer.state.values():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].to(device, torch.float32)


def take_over_averages(trainer: Trainer, module: ImageModule) -> None:
    """Let a step of one optimizer average its gradients over processes itself, in eager steps too: DDP does so in hooks
    that a graph does not call. An adversarial step always does."""
    if isinstance(module, DescentModule) and isinstance(trainer.model, DistributedDataParallel):
        trainer.model.require_backward_grad_sync = False
        module.averages_gradients = True


def reason_against(trainer: Trainer, module: ImageModule) -> str | None:
    """Say why the steps of `module` cannot be captured; None where they can."""
    hooked = [type(callback).__name__ for callback in trainer.callbacks if _hooks_inside(callback)]  # type: ignore[attr-defined]
    scaled = isinstance(trainer.precision_plugin, MixedPrecision) and trainer.precision_plugin.scaler is not None
    rigid = [type(o).__name__ for o in trainer.optimizers if "capturable" not in o.defaults]
    found = {
        "the device is no CUDA GPU": not can_capture(module.device),
        **_reasons_of_strategy(trainer.strategy),
        "16-bit precision scales the loss by what it finds": scaled,
        f"{', '.join(rigid)} cannot be captured": bool(rigid),
        f"{', '.join(hooked)} looks into each step": bool(hooked),
        "captions are read by the CPU": "text" in module.condition_keys and _reads_in_step(module),
        **{f"{type(part).__name__} {part.host_work}": True for part in module.modules() if hasattr(part, "host_work")},
    }
    return next((why for why, holds in found.items() if holds), None)


def _reasons_of_strategy(strategy: Strategy) -> dict[str, bool]:
    if isinstance(strategy, SingleDeviceStrategy):
        return {}
    if not isinstance(strategy, DDPStrategy):
        return {f"{type(strategy).__name__} gathers weights in each step": True}
    backend = torch.distributed.get_backend()
    return {
        f"processes talk by {backend}, not by nccl": backend != "nccl",
        "the strategy has a communication hook": strategy._ddp_comm_hook is not None,
    }


def _reads_in_step(module: ImageModule) -> bool:
    """Whether captions become numbers inside the step, for lack of a `prepare` before it."""
    return type(module).prepare is ImageModule.prepare


def _hooks_inside(callback: Callback) -> bool:
    """Whether a callback acts inside a step without asking for an eager one, as ours do."""
    ours = type(callback).__module__.startswith("lightning_gen.")
    return not ours and any(getattr(type(callback), name) is not getattr(Callback, name) for name in _INSIDE)
