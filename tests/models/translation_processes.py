"""Trains the unpaired translations and saves their weights, in one process and in two. test_unpaired_models.py starts
it: python -m tests.models.translation_processes FOLDER. The numbers of a global batch are drawn once and shared out as
the loader shares out images. Two processes also train a CycleGAN at once and in parts."""

import sys
from pathlib import Path

import torch

from lightning_gen.training.callbacks.record import ImageBudget
from lightning_gen.training.fit import build, main
from tests.launch.processes import train_in_one_and_two

BATCH, BATCHES = 4, 3
CONFIGS = ("cyclegan", "cut", "fastcut")


def train(config: str, path: str, rank: int, world: int) -> dict[str, torch.Tensor]:
    """The parameters after `BATCHES` global batches."""
    rand, generator = torch.rand, torch.Generator().manual_seed(0)
    arguments = ["-c", f"configs/translation/{config}.yaml", "--data.init_args.batch_size", str(BATCH // world)]
    arguments += ["--trainer.accelerator", "cpu", "--trainer.devices", str(world), "--data.init_args.size", "16"]
    arguments += ["--data.init_args.images", "20", "--run.evaluate_every", "0", "--run.grid_every", "0"]
    arguments += ["--trainer.strategy", "ddp"] if world > 1 else []
    arguments += ["--model.init_args.generator.init_args.width", "4"]
    arguments += ["--run.root", f"{path}.runs", "--evaluation.samples", "0", "--run.health_every", "0"]
    for player in ("generator", "discriminator"):
        # Adam divides by the root of the second moment: a gradient that is 0 but for rounding would be blown up.
        arguments += [f"--model.init_args.training.{player}_optimizer.init_args.eps", "1e-3"]
    cli = build(arguments)
    cli.trainer.callbacks.append(ImageBudget(BATCH * BATCHES))

    def draw(*shape, device=None):  # a place in a picture is the same for all, a coin belongs to one picture
        per_picture = shape == (BATCH // world,)
        return rand(BATCH, generator=generator)[rank::world] if per_picture else rand(*shape, generator=generator)

    torch.rand = draw
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    torch.rand = rand
    assert cli.model.images_seen == BATCH * BATCHES
    return {name: p.detach().clone() for name, p in cli.model.named_parameters()}


def resume(root: str) -> None:
    """Train the run `whole` at once, and `parts` in two parts, with pools that are full."""
    words = ["-c", "configs/translation/cyclegan.yaml", "--run.root", root, "--evaluation.samples", "0"]
    words += ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    words += ["--data.init_args.batch_size", "2", "--data.init_args.size", "16", "--model.init_args.pool", "4"]
    words += ["--model.init_args.generator.init_args.width", "4", "--run.save_every", "8"]
    words += ["--data.init_args.images", "20", "--run.evaluate_every", "0", "--run.grid_every", "0"]
    for name, images, more in (("whole", 32, []), ("parts", 16, []), ("parts", 32, ["--run.resume", "changed"])):
        main([*words, "--run.name", name, "--run.images", str(images), *more])


def work(path: str, rank: int, world: int) -> None:
    torch.save({config: train(config, path, rank, world) for config in CONFIGS}, f"{path}.{rank}")
    if world > 1:
        resume(f"{path}.runs")


if __name__ == "__main__":
    train_in_one_and_two(work, Path(sys.argv[1]))
