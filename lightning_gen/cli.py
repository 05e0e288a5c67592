"""The one command: ``lightning-gen fit | sample | evaluate``. Heavy imports wait until a command needs them."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from lightning_gen import __version__
from lightning_gen.errors import UserError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a `UserError` becomes one plain line on stderr and exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["fit"]:  # everything behind `fit` belongs to the configuration
            fit(arguments[1:])
        else:
            options = _parser().parse_args(arguments)
            options.command(options)
    except (UserError, OSError) as error:
        print(f"lightning-gen: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lightning-gen", allow_abbrev=False, description="Generative image models.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("fit", help="train: fit -c CONFIG [-c CONFIG ...] [--key value ...]; see fit --help")

    sample = commands.add_parser("sample", help="draw images from a run's last checkpoint", allow_abbrev=False)
    sample.add_argument("run", type=Path, help="run folder")
    sample.add_argument("--n", type=int, default=64, help="number of images (64)")
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--temperature", type=float, default=1.0)
    sample.add_argument("--out", type=Path, help="PNG to write (RUN/samples/sample.png)")
    sample.set_defaults(command=_sample)

    evaluate = commands.add_parser("evaluate", help="bits/dim of a run on held-out images", allow_abbrev=False)
    evaluate.add_argument("run", type=Path, help="run folder")
    evaluate.add_argument("--split", choices=["train", "val", "test"], default="test")
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.set_defaults(command=_evaluate)
    return parser


def build(arguments: list[str]) -> Any:
    """The one construction path: configuration -> a LightningCLI object with .model, .datamodule, .trainer."""
    from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

    from lightning_gen.base import ImageData, ImageModule

    class CLI(LightningCLI):
        def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
            parser.link_arguments("data.spec", "model.init_args.spec", apply_on="instantiate")
            parser.add_argument("--run.name", type=str, default="run", help="the folder below run.root; must be new")
            parser.add_argument("--run.root", type=str, default="runs", help="where run folders lie")
            parser.add_argument("--run.images", type=int, default=20000, help="training images, all processes together")
            parser.add_argument("--run.grid_every", type=int, default=10000, help="images between sample grids")
            parser.add_argument(
                "--run.average", type=float, default=0.995, help="decay of the weight average per batch"
            )

        def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
            self.config = parser.parse_args(args)

    trainer_defaults = {
        "max_epochs": -1,
        "accelerator": "auto",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "limit_val_batches": 0,
        "log_every_n_steps": 20,
    }
    parser_kwargs = {"exit_on_error": False, "parser_mode": "omegaconf+", "allow_abbrev": False}
    try:
        return CLI(
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
        # The useful line of a union's noise is its last one.
        lines = [line.strip(" -") for line in str(error).splitlines() if line.strip(" -")]
        raise UserError(f"configuration: {lines[0]} {lines[-1] if len(lines) > 1 else ''}".strip()) from error


def fit(arguments: list[str]) -> None:
    """Train from configuration into a new run folder."""
    import platform

    import torch

    from lightning_gen.callbacks.average import WeightAverage
    from lightning_gen.callbacks.record import ImageBudget, SampleGrids
    from lightning_gen.files import write_json, write_text
    from lightning_gen.runs.folder import RunFolderLogger

    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    cli = build(arguments)
    run = cli.config.run
    folder = Path(run.root) / run.name
    if folder.exists():
        raise UserError(f"run.name is {run.name}: {folder} exists already, want a new name")
    if run.images < 1:
        raise UserError(f"run.images is {run.images}: want 1 or more")
    cli.datamodule.train_dataloader()  # a set that cannot be loaded is refused before anything is written
    logger = RunFolderLogger(folder)
    logger.module = cli.model
    trainer = cli.trainer
    trainer.loggers = [logger]
    trainer.callbacks += [
        WeightAverage(run.average),
        SampleGrids(folder, run.grid_every),
        ImageBudget(run.images, folder),
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
    print(f"{folder}: {cli.model.images_seen} images seen")


def _checkpoint(run: Path) -> Path:
    path = run / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise UserError(f"run {run} has no checkpoints/last.ckpt: want the folder of a finished run")
    return path


def _sample(options: argparse.Namespace) -> None:
    import torch

    from lightning_gen.base import GenerativeModule, load_module
    from lightning_gen.evaluation import sample_blocks
    from lightning_gen.files import write_png
    from lightning_gen.images import grid

    if options.n < 1:
        raise UserError(f"--n is {options.n}: want 1 or more")
    module = load_module(_checkpoint(options.run))
    if not isinstance(module, GenerativeModule):
        raise UserError(f"{type(module).__name__} cannot sample")
    images = torch.cat(list(sample_blocks(module, options.n, options.seed, options.temperature)))
    out = options.out or options.run / "samples" / "sample.png"
    write_png(out, grid(images, module.spec.levels).numpy())
    print(out)


def _evaluate(options: argparse.Namespace) -> None:
    import json

    from lightning_gen.base import LikelihoodModule, load_module
    from lightning_gen.evaluation import evaluate_likelihood
    from lightning_gen.files import write_json

    module = load_module(_checkpoint(options.run))
    if not isinstance(module, LikelihoodModule):
        raise UserError(f"{type(module).__name__} has no likelihood: bits/dim wants a flow, a VAE or a PixelCNN")
    data = build(["--config", str(options.run / "config.yaml")]).datamodule
    numbers = evaluate_likelihood(module, data, options.split, options.seed)
    write_json(options.run / f"evaluation-{options.split}.json", numbers)
    print(json.dumps(numbers))


def entry() -> None:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
