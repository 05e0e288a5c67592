"""``lightning-gen fit``: configuration -> model, data, trainer -> a run folder."""

import argparse
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from lightning_gen import __version__
from lightning_gen.base import ImageData, ImageModule
from lightning_gen.callbacks.average import WeightAverage
from lightning_gen.callbacks.progress import ImageProgress
from lightning_gen.callbacks.record import ImageBudget, SampleGrids
from lightning_gen.errors import UserError
from lightning_gen.files import write_json, write_text
from lightning_gen.plain import plain_line
from lightning_gen.runs.folder import RunFolderLogger

__all__ = ["Run", "build", "main"]


@dataclass
class Run:
    """How long a run is and what is kept of it.

    Args:
        name: of the folder below `root`; must be new.
        root: where run folders lie.
        images: training images, all processes together.
        grid_every: images between sample grids.
        average: decay of the weight average per batch.
    """

    name: str = "run"
    root: str = "runs"
    images: int = 20000
    grid_every: int = 10000
    average: float = 0.995

    def __post_init__(self) -> None:
        if self.images < 1:
            raise UserError(f"run.images is {self.images}: want 1 or more")

    @property
    def folder(self) -> Path:
        """``root/name``."""
        return Path(self.root) / self.name


class _CLI(LightningCLI):
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("data.spec", "model.init_args.spec", apply_on="instantiate")
        parser.add_class_arguments(Run, "run")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        self.config = parser.parse_args(args)


def build(arguments: list[str]) -> Any:
    """The one construction path: configuration -> an object with .model, .datamodule, .trainer, .config."""
    trainer_defaults = {
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
    parser_kwargs = {"exit_on_error": False, "parser_mode": "omegaconf+", "allow_abbrev": False}
    try:
        return _CLI(
            ImageModule,
            ImageData,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            trainer_defaults=trainer_defaults,
            seed_everything_default=0,
            parser_kwargs=parser_kwargs,
            auto_configure_optimizers=False,
            args=arguments,
            run=False,
        )
    except UserError:
        raise
    except (argparse.ArgumentError, argparse.ArgumentTypeError, ValueError, TypeError) as error:
        raise UserError(f"configuration: {plain_line(str(error))}") from error


def main(arguments: list[str]) -> None:
    """Train from configuration into a new run folder."""
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    cli = build(arguments)
    run: Run = cli.config_init.run
    folder = run.folder
    if folder.exists():
        raise UserError(f"run.name is {run.name}: {folder} exists already, want a new name")
    cli.datamodule.train_dataloader()  # a set that cannot be loaded is refused before anything is written
    logger = RunFolderLogger(folder)
    logger.module = cli.model
    trainer = cli.trainer
    trainer.loggers = [logger]
    trainer.callbacks += [
        WeightAverage(run.average),
        SampleGrids(folder, run.grid_every),
        ImageBudget(run.images),
        ImageProgress(run.images),
    ]
    write_text(folder / "config.yaml", cli.parser.dump(cli.config, skip_none=False))
    about = {
        "version": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "seed": cli.config.seed_everything,
        "parameters": sum(p.numel() for p in cli.model.parameters()),
        "data": cli.datamodule.name,
        "fingerprint": cli.datamodule.fingerprint,
    }
    write_json(folder / "run.json", about)
    trainer.fit(cli.model, datamodule=cli.datamodule)
    trainer.save_checkpoint(folder / "checkpoints" / "last.ckpt")
    print(f"{folder}: {cli.model.images_seen} images seen")
