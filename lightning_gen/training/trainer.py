"""What `Trainer` is built with: our callbacks, loggers and plugins beside the user's, and what it may not have."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from lightning_gen.contracts import AdversarialModule, DescentModule, ImageModule, VariationalModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.runs.folder import RunFolderLogger
from lightning_gen.training.callbacks.divergence import Divergence
from lightning_gen.training.callbacks.evaluate import Evaluate
from lightning_gen.training.callbacks.health import Health
from lightning_gen.training.callbacks.posterior_collapse import PosteriorCollapseMonitor
from lightning_gen.training.callbacks.progress import ImageProgress
from lightning_gen.training.callbacks.record import ImageBudget, LossLogging, SampleGrids
from lightning_gen.training.callbacks.speed import Speed
from lightning_gen.training.capture import CapturedSteps
from lightning_gen.training.checkpoint_io import AtomicCheckpointIO
from lightning_gen.training.checkpoints import RunCheckpoint
from lightning_gen.training.ema import EMA
from lightning_gen.training.options import Run
from lightning_gen.training.sharding import FullySharded

__all__ = ["check_arguments", "check_strategy", "trainer_arguments"]

#: arguments that manual optimisation cannot have -> their value where they are not set, and what to use in their place
_MANUAL = {
    "gradient_clip_val": (None, "model.training.clip"),
    "gradient_clip_algorithm": (None, "model.training.clip, which clips by norm"),
    "accumulate_grad_batches": (1, "model.training.accumulate"),
}
#: what a run may compute in, with Lightning's short names
_PRECISIONS = {"32", "32-true", "16", "16-mixed", "bf16", "bf16-mixed"}


def check_arguments(arguments: dict[str, Any], model: LightningModule, run: Run) -> None:
    """Raise for arguments of the trainer that would fail, or have no effect, once training has begun.

    Args:
        arguments: of `Trainer`, as the user set them.
        model: to be trained.
        run: of the configuration.

    Raises:
        UserError: there is one.
    """
    for name, (absent, advice) in _MANUAL.items():
        value = arguments.get(name)
        if not model.automatic_optimization and value not in (None, absent):
            kind = type(model).__name__
            raise UserError(f"trainer.{name} is {value}: {kind} steps its own optimizers, want {advice}")
    if isinstance(model, AdversarialModule):
        model.training_plan.check_networks(model.players)
    _check_precision(arguments)
    if arguments.get("barebones"):
        raise UserError("trainer.barebones is True: want False, a run keeps logs and checkpoints")
    if arguments.get("enable_checkpointing") is False:
        raise UserError("trainer.enable_checkpointing is False: want True, a run is its checkpoints")
    for plugin in _listed(arguments.get("plugins")):
        if isinstance(plugin, CheckpointIO):
            raise UserError(f"trainer.plugins has {type(plugin).__name__}: want none that writes checkpoints")
    for callback in _listed(arguments.get("callbacks")):
        at_end = isinstance(callback, EarlyStopping) and callback.monitor.startswith("eval/") and not run.evaluate_every
        if at_end:
            how = "is measured at the end only: want --run.evaluate_every IMAGES"
            raise UserError(f"trainer.callbacks has EarlyStopping, but {callback.monitor} {how}")


def _check_precision(arguments: dict[str, Any]) -> None:
    """Refuse weights that are not float32: images enter as float32, and a likelihood or a distance in fewer bits is not
    the number that it claims to be. Mixed precision computes in 16 bits where that is safe."""
    given = [arguments.get("precision")]
    given += [p.precision for p in _listed(arguments.get("plugins")) if isinstance(p, Precision)]
    for value in given:
        if value is not None and str(value) not in _PRECISIONS:
            raise UserError(f"trainer.precision is {value}: want 32-true, bf16-mixed or 16-mixed")


def check_strategy(trainer: Trainer, model: LightningModule, given: Any) -> None:
    """Raise where the strategy cannot train `model`, or cannot keep what a run promises.

    Args:
        trainer: with the strategy.
        model: to be trained.
        given: the strategy as the user named it.

    Raises:
        UserError: it cannot.
    """
    strategy = trainer.strategy
    if isinstance(strategy, FullySharded):
        strategy.check(model)
        return
    known = isinstance(strategy, SingleDeviceStrategy | DDPStrategy)
    if not known or isinstance(strategy.launcher, _MultiProcessingLauncher):
        name = given if isinstance(given, str) else type(strategy).__name__
        sharded = " or lightning_gen.training.sharding.FullySharded" if model.automatic_optimization else ""
        raise UserError(f"trainer.strategy is {name}: want auto, ddp{sharded}")


def trainer_arguments(
    arguments: dict[str, Any], model: ImageModule, run: Run, evaluation: Evaluation
) -> dict[str, Any]:
    """Return the arguments of `Trainer` that hold ours beside the user's.

    Args:
        arguments: of `Trainer`, as the user set them.
        model: to be trained.
        run: of the configuration.
        evaluation: of the configuration.
    """
    ours: list[Logger] = [RunFolderLogger(run.folder, model)]
    if run.wandb:
        run.wandb.attach(run.folder, model)
        ours.append(run.wandb)
    theirs = [logger for logger in _listed(arguments.get("logger")) if isinstance(logger, Logger)]
    found = {
        "logger": [*ours, *theirs],
        "callbacks": [*_listed(arguments.get("callbacks")), *_callbacks(model, run, evaluation)],
        "plugins": [*_listed(arguments.get("plugins")), AtomicCheckpointIO()],
        "enable_checkpointing": True,
    }
    if not arguments.get("limit_val_batches"):
        # No validation of Lightning's: EarlyStopping and ModelCheckpoint look where our evaluation ends, not where an
        # epoch does. This is how Lightning itself tells them so.
        found |= {"check_val_every_n_epoch": None, "val_check_interval": 1}
    return found


def _listed(value: Any) -> list[Any]:
    """One value, a list of them, or nothing -> a list."""
    if value is None or isinstance(value, bool):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _callbacks(model: ImageModule, run: Run, evaluation: Evaluation) -> list[Callback]:
    """Our callbacks, in the order in which they act after a batch: what may end the training comes first, and what must
    see its end last."""
    capture = False if run.compile else run.capture
    callbacks: list[Callback] = [CapturedSteps(capture), EMA(run.ema), ImageBudget(run.images)]
    if isinstance(model, AdversarialModule) and run.health_every:
        callbacks.append(Health(evaluation, run.folder, run.health_every, run.stop_on_collapse))
    if isinstance(model, VariationalModule):
        callbacks.append(PosteriorCollapseMonitor(run.evaluate_every, run.rate_images))
    return [
        *callbacks,
        Evaluate(evaluation, run.folder, run.evaluate_every),
        SampleGrids(run.folder, run.grid_every),
        Speed(),
        LossLogging(),
        Divergence(run.folder, _stops(model, run)),
        ImageProgress(run.name, run.images),
        RunCheckpoint(run.folder / "checkpoints", run.save_every, run.save_minutes),
    ]


def _stops(model: ImageModule, run: Run) -> bool:
    """Whether a loss that is not finite ends the run."""
    return isinstance(model, DescentModule) if run.stop_on_divergence is None else run.stop_on_divergence
