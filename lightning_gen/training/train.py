"""A training, from its configuration to its run folder."""

import logging
import shutil
import traceback
import warnings
from contextlib import ExitStack
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from lightning_gen.config.parser import CommandLine
from lightning_gen.contracts import ImageData, ImageModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.files import write_json, write_text
from lightning_gen.runs.lock import hold
from lightning_gen.training.defaults import TRAINER_DEFAULTS
from lightning_gen.training.facts import facts_of
from lightning_gen.training.options import Run
from lightning_gen.training.preemption import Preempted, leave
from lightning_gen.training.resume import Start, check_new, rewind, start
from lightning_gen.training.start_from import start_from
from lightning_gen.training.trainer import check_arguments, check_strategy, trainer_arguments

__all__ = ["build", "train"]


class _Fit(CommandLine):
    """The command line of `fit`, whose trainer has our callbacks, loggers and plugins beside the user's."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        arguments, run = dict(self.config_init.trainer), self.config_init.run
        check_arguments(arguments, self.model, run)
        ours = trainer_arguments(arguments, self.model, run, self.config_init.evaluation)
        trainer = super().instantiate_trainer(**{**ours, **kwargs})
        check_strategy(trainer, self.model, arguments.get("strategy"))
        return trainer


def build(arguments: list[str]) -> Any:
    """The one construction path: configuration -> an object with .model, .datamodule, .trainer, .config."""
    _silence()
    return _Fit.construct(arguments, {"run": Run, "evaluation": Evaluation}, TRAINER_DEFAULTS)


def train(arguments: list[str]) -> None:
    """Train from configuration into a run folder."""
    cli = build(arguments)
    run: Run = cli.config_init.run
    if cli.trainer.local_rank == 0:  # the others wait for it where the processes meet
        _check_data(cli.datamodule)
    cli.config_init.evaluation.check(cli.model)
    with ExitStack() as held:
        begin = _begin(cli, held)
        if begin.images_seen >= run.images:
            print(f"{run.folder}: {begin.images_seen} images seen, nothing left to do")
            return
        _prepare_networks(cli.model, run)
        try:
            cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=begin.checkpoint, weights_only=True)
        except Preempted as stop:
            leave(stop, cli.trainer)
        except (MisconfigurationException, ModuleNotFoundError) as error:  # of a callback of the user, mostly
            raise UserError(f"trainer: {' '.join(str(error).split())}") from error
        except Exception as error:
            if begin.checkpoint is None or not _is_restoring(error):
                raise
            why = " ".join(f"{type(error).__name__} {error}".split())[:200]
            raise UserError(f"checkpoint {begin.checkpoint} does not fit, {why}: want one of this version") from error
    if cli.trainer.is_global_zero:
        print(f"{run.folder}: {cli.model.images_seen} images seen")


def _is_restoring(error: Exception) -> bool:
    """Whether an error rose where Lightning restores a checkpoint: what it holds was none of this training's."""
    frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return not isinstance(error, UserError) and any(
        code.co_filename.endswith("checkpoint_connector.py") and "restore" in code.co_name for code in frames
    )


def _begin(cli: Any, held: ExitStack) -> Start:
    """Decide how the run begins, hold its folder until `held` is closed, and write or rewind it."""
    run: Run = cli.config_init.run
    first, there = cli.trainer.is_global_zero, run.folder.exists() and run.resume != "no"
    if first and there:
        held.enter_context(hold(run.folder))
    config = cli.written()
    begin = start(run.folder, config, run.resume, cli.trainer, cli.model)
    if begin.images_seen >= run.images:
        return begin
    source = start_from(run.start_from, cli.model) if run.start_from and not begin.checkpoint else None
    if first:
        _check_space(cli.model, run)
        if not there:
            held.enter_context(hold(run.folder))
            check_new(run.folder)  # two of one name at once
        _write_folder(cli, config, begin, source)
    return begin


def _check_data(data: ImageData) -> None:
    """Fetch and open the data: a set that cannot be read is refused before anything is written."""
    data.prepare_data()
    data.setup("fit")
    data.train_dataloader()


def _prepare_networks(model: ImageModule, run: Run) -> None:
    if run.channels_last:
        model.to(memory_format=torch.channels_last)
    if run.compile:
        for network in model.children():
            network.compile()


def _write_folder(cli: Any, config: str, begin: Start, source: dict[str, Any] | None) -> None:
    """Make the run folder, or bring it to the moment that training goes on from."""
    run: Run = cli.config_init.run
    if not begin.new:
        rewind(run.folder, config, begin)
    if not begin.new and (run.folder / "run.json").exists():
        return
    write_text(run.folder / "config.yaml", config)
    write_json(run.folder / "run.json", facts_of(cli) | ({"start_from": source} if source else {}))


def _check_space(model: ImageModule, run: Run) -> None:
    """Raise where the disk cannot hold the checkpoints: better now than after a night of training."""
    existing = next(p for p in (run.folder, *run.folder.absolute().parents) if p.exists())
    # Weights, their average and Adam's two moments, in each of last, previous, best, and one being written.
    wanted = 4 * 4 * sum(p.numel() * p.element_size() for p in model.parameters()) + 2**24
    free = shutil.disk_usage(existing).free
    if free < wanted:
        raise UserError(f"run.root {run.root} has {free >> 20} MB free: want {wanted >> 20} MB for the checkpoints")


def _silence() -> None:
    """Hide Lightning's tips and hints, which are about choices that this project has made; what the user's callbacks
    and profilers say is kept."""
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for room in ("callbacks", "profilers", "utilities.rank_zero"):
        logging.getLogger(f"lightning.pytorch.{room}").setLevel(logging.INFO)
    shared = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    if _of_the_user not in shared.filters:
        shared.addFilter(_of_the_user)
    about = (
        "does not have many workers",
        "no `validation_step`",
        "LeafSpec",
        "`weights_only`",
        "`srun` command is available",
        "Checkpoint directory .* exists and is not empty",
        "is smaller than the logging interval",
        "`training_step` returned `None`",  # of a captured step, which has descended already
    )
    for words in about:
        warnings.filterwarnings("ignore", f".*{words}.*")


def _of_the_user(record: logging.LogRecord) -> bool:
    """Whether a record is worth showing: a warning, or a word of a callback or profiler, which the user has chosen."""
    return record.levelno > logging.INFO or any(f"/{room}/" in record.pathname for room in ("callbacks", "profilers"))
