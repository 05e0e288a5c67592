"""Trains three GANs and saves their weights; test_gan.py starts it: python -m tests.models.gan_processes FOLDER.
It does so in one process and in two.

The noise of a global batch is drawn once and shared out as the loader shares out images, so that one process with the
doubled batch sees what two see together. Where there are two, batch norm takes its moments over both (what
SyncBatchNorm does on GPUs; it does not run on CPUs).
"""

import sys
from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn
from torch.distributed.nn.functional import all_reduce

from lightning_gen.contracts import ImageModule
from lightning_gen.training.callbacks.record import ImageBudget
from lightning_gen.training.fit import build
from tests.launch.processes import train_in_one_and_two

BATCH, BATCHES = 16, 6
CONFIGS = ("dcgan", "wgan_gp", "sn_hinge")


class BatchNormOfAll(nn.Module):
    """Batch norm, in training, with the moments of the batches of all processes."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
        if self.training:  # whatever watches a training does so on one process, which must not wait for others
            moments = all_reduce(moments) / dist.get_world_size()
        mean, square = moments
        scale = self.weight * (square - mean.square() + self.eps).rsqrt()
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


def _join_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, BatchNormOfAll(child))
        else:
            _join_norms(child)


def _share_noise(rank: int, world: int) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(make, count, *shape):
        return make(count * world, *shape, generator=generator)[rank::world]

    rand, randn = torch.rand, torch.randn
    ImageModule.noise = lambda self, *shape, generator=None: draw(randn, *shape)
    torch.rand = lambda *shape, device=None: draw(rand, *shape)


def narrow(config: str) -> list[str]:
    """Arguments that make both networks narrow."""
    discriminator = "discriminator.init_args." * (2 if config == "sn_hinge" else 1)
    return [
        *("--model.init_args.generator.init_args.width", "8"),
        *(f"--model.init_args.{discriminator}width", "8"),
    ]


def train(config: str, path: str, rank: int, world: int) -> dict[str, torch.Tensor]:
    """The parameters after `BATCHES` global batches."""
    rand = torch.rand
    arguments = ["-c", f"configs/gan/{config}.yaml", "--data.init_args.batch_size", str(BATCH // world)]
    arguments += ["--trainer.accelerator", "cpu", "--trainer.devices", str(world)]
    arguments += ["--trainer.strategy", "ddp"] if world > 1 else []
    arguments += [*narrow(config), "--run.evaluate_every", "0", "--run.grid_every", "0"]
    arguments += ["--run.root", f"{path}.runs", "--evaluation.samples", "0", "--run.health_every", "0"]
    for player in ("generator", "discriminator"):
        # Adam divides by the root of the second moment: a gradient that is 0 but for rounding would be blown up.
        arguments += [f"--model.init_args.training.{player}_optimizer.init_args.eps", "1e-3"]
    cli = build(arguments)
    if world > 1:
        _join_norms(cli.model)
    _share_noise(rank, world)
    cli.trainer.callbacks.append(ImageBudget(BATCH * BATCHES))
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    torch.rand = rand
    assert cli.model.images_seen == BATCH * BATCHES
    return {name: p.detach().clone() for name, p in cli.model.named_parameters()}


def work(path: str, rank: int, world: int) -> None:
    torch.save({config: train(config, path, rank, world) for config in CONFIGS}, f"{path}.{rank}")


if __name__ == "__main__":
    train_in_one_and_two(work, Path(sys.argv[1]))
