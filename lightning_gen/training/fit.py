"""``lightning-gen fit``: configuration -> model, data, trainer -> a run folder."""

import logging
import os
import platform
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.profilers import PassThroughProfiler, Profiler

from lightning_gen import __version__
from lightning_gen.config.parser import CommandLine
from lightning_gen.contracts import AdversarialModule, ImageModule, VariationalModule
from lightning_gen.errors import UserError, check_counts
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.files import write_json, write_text
from lightning_gen.runs.folder import RunFolderLogger
from lightning_gen.runs.wandb import WandbMirror
from lightning_gen.schedules import Ramp
from lightning_gen.training.callbacks.evaluate import Evaluate
from lightning_gen.training.callbacks.health import Health
from lightning_gen.training.callbacks.posterior_collapse import PosteriorCollapseMonitor
from lightning_gen.training.callbacks.progress import ImageProgress
from lightning_gen.training.callbacks.record import ImageBudget, LossLogging, SampleGrids
from lightning_gen.training.callbacks.unprofiled import Unprofiled
from lightning_gen.training.checkpoint_io import AtomicCheckpointIO
from lightning_gen.training.checkpoints import Checkpoints
from lightning_gen.training.ema import EMA
from lightning_gen.training.preemption import Preempted, leave
from lightning_gen.training.resume import Resume, start
from lightning_gen.training.sharding import FullySharded

__all__ = ["Run", "build", "main"]


@dataclass
class Run:
    """How long a run is and what is kept of it.

    Args:
        name: of the folder below `root`; must be new.
        root: where run folders lie.
        images: training images, all processes together.
        grid_every: images between sample grids; 0: at the end only.
        evaluate_every: images between evaluations; 0: at the end only.
        rate_images: validation images that the rate and the alarm for a collapsed posterior of a VAE are computed on.
        health_every: images between looks at the health of a GAN; 0: none.
        stop_on_collapse: end the run, with its checkpoint, where a GAN collapses.
        save_every: images between checkpoints; 0: at the end only.
        save_minutes: minutes between checkpoints; 0: no such checkpoints.
        resume: no: the run must be new; same: go on with the run of this name where there is one, which must have the
            same configuration; changed: it may have another one.
        ema: decay of the exponential moving average of the weights per batch, 0 to 1, or a ramp over images seen.
        compile: compile each network of the model (torch.compile).
        channels_last: keep pictures and weights in channels-last order, faster on many devices.
        wandb: mirror the run to Weights & Biases, e.g. ``--run.wandb WandbMirror`` (None: do not).
    """

    name: str = "run"
    root: str = "runs"
    images: int = 20000
    grid_every: int = 0
    evaluate_every: int = 0
    rate_images: int = 256
    health_every: int = 3200
    stop_on_collapse: bool = False
    save_every: int = 0
    save_minutes: float = 10.0
    resume: Resume = "no"
    ema: float | Ramp = 0.995
    compile: bool = False
    channels_last: bool = False
    wandb: WandbMirror | None = None

    def __post_init__(self) -> None:
        check_counts("run", images=self.images, rate_images=self.rate_images)
        decays = (self.ema.start, self.ema.end) if isinstance(self.ema, Ramp) else (self.ema,)
        for decay in decays:
            if not 0 <= decay < 1:
                raise UserError(f"run.ema is {decay}: want 0 to 1, without 1")
        if not self.name or Path(self.name).name != self.name:
            raise UserError(f"run.name is {self.name!r}: want the name of one folder")

    @property
    def folder(self) -> Path:
        """``root/name``."""
        return Path(self.root) / self.name


#: a run is as long as ``run.images`` says, shows its own progress, and evaluates by ``run.evaluate_every``
_TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": -1,
    "accelerator": "auto",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "enable_progress_bar": False,
    "limit_val_batches": 0,
    "log_every_n_steps": 20,
}


def build(arguments: list[str]) -> Any:
    """The one construction path: configuration -> an object with .model, .datamodule, .trainer, .config."""
    return CommandLine.construct(arguments, {"run": Run, "evaluation": Evaluation}, _TRAINER_DEFAULTS)


def main(arguments: list[str]) -> None:
    """Train from configuration into a new run folder."""
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    if not torch.cuda.is_available():
        del os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"]  # each optimizer step would load its library to ask again
    _silence()
    cli = build(arguments)
    run: Run = cli.config_init.run
    config = cli.written()
    cli.datamodule.train_dataloader()  # a set that cannot be read is refused before anything is written
    evaluation: Evaluation = cli.config_init.evaluation
    evaluation.check(cli.model)
    if isinstance(cli.trainer.strategy, FullySharded):
        cli.trainer.strategy.check(cli.model)
    begin = start(run.folder, config, run.resume, cli.trainer, cli.model)
    if begin.images_seen >= run.images:
        print(f"{run.folder}: {begin.images_seen} images seen, nothing left to do")
        return
    if run.channels_last:
        cli.model.to(memory_format=torch.channels_last)
    if run.compile:
        for network in cli.model.children():
            network.compile()
    if cli.trainer.global_rank:  # one seed builds the same weights everywhere, but each process draws its own noise
        torch.manual_seed(torch.initial_seed() + cli.trainer.global_rank)
    _equip(cli.trainer, cli.model, run, evaluation)
    if cli.trainer.is_global_zero and (begin.new or not (run.folder / "run.json").exists()):
        _check_space(cli.model, run)
        write_text(run.folder / "config.yaml", config)
        write_json(run.folder / "run.json", _about(cli))
    try:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=begin.checkpoint, weights_only=True)
    except Preempted as stop:
        leave(stop, cli.trainer)
    if cli.trainer.is_global_zero:
        print(f"{run.folder}: {cli.model.images_seen} images seen")


def _equip(trainer: Trainer, model: ImageModule, run: Run, evaluation: Evaluation) -> None:
    """Everything that watches a training, in the order in which it acts after a batch."""
    logger = RunFolderLogger(run.folder)
    logger.module = model
    trainer.loggers = [logger]
    if run.wandb:
        run.wandb.attach(run.folder, model)
        trainer.loggers.append(run.wandb)
    trainer.strategy.checkpoint_io = AtomicCheckpointIO()
    profiler: Profiler = trainer.profiler  # type: ignore[attr-defined]
    if type(profiler) is PassThroughProfiler:  # the user asked for none
        trainer.profiler = Unprofiled()  # type: ignore[attr-defined]
    # Lightning asks every callback in every batch: those that have nothing to do stay away.
    adversarial = isinstance(model, AdversarialModule) and run.health_every
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks += [
        EMA(run.ema),
        ImageBudget(run.images),
        SampleGrids(run.folder, run.grid_every),
        Evaluate(evaluation, run.folder, run.evaluate_every),
        *(
            [PosteriorCollapseMonitor(run.evaluate_every, run.rate_images)]
            if isinstance(model, VariationalModule)
            else []
        ),
        *([Health(evaluation, run.folder, run.health_every, run.stop_on_collapse)] if adversarial else []),
        LossLogging(),
        ImageProgress(run.name, run.images),
        Checkpoints(run.folder / "checkpoints", run.save_every, run.save_minutes),
    ]


def _check_space(model: ImageModule, run: Run) -> None:
    """Raise where the disk cannot hold the checkpoints: better now than after a night of training."""
    existing = next(p for p in (run.folder, *run.folder.absolute().parents) if p.exists())
    # Weights, their average and Adam's two moments, in each of last, previous, best, and one being written.
    wanted = 4 * 4 * sum(p.numel() * p.element_size() for p in model.parameters()) + 2**24
    free = shutil.disk_usage(existing).free
    if free < wanted:
        raise UserError(f"run.root {run.root} has {free >> 20} MB free: want {wanted >> 20} MB for the checkpoints")


def _silence() -> None:
    """Lightning's tips and hints are about choices that this project has made."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    about = (
        "does not have many workers",
        "no `validation_step`",
        "LeafSpec",
        "`weights_only`",
        "`srun` command is available",
    )
    for words in about:
        warnings.filterwarnings("ignore", f".*{words}.*")


def _about(cli: Any) -> dict[str, Any]:
    """What run.json says: enough to tell how a number came about."""
    device = cli.trainer.strategy.root_device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "kind": "run",
        "name": cli.config_init.run.name,
        "model": type(cli.model).__name__,
        "class_path": cli.config.model.class_path,
        "parameters": sum(p.numel() for p in cli.model.parameters()),
        "data": cli.datamodule.name,
        "fingerprint": cli.datamodule.fingerprint,
        "seed": cli.config.seed_everything,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "version": __version__,
        "versions": {name: metadata.version(name) for name in ("torch", "lightning", "torchmetrics")},
        "python": platform.python_version(),
        "hardware": {"device": gpu or f"{platform.machine()} CPU", "cores": os.cpu_count()},
        "processes": cli.trainer.world_size,
        "precision": cli.trainer.precision,
    }


def _commit() -> str | None:
    """The commit of the checkout this code runs from, with ``+`` where files differ from it; None outside one."""

    def git(*words: str) -> str:
        folder = Path(__file__).parent
        return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
