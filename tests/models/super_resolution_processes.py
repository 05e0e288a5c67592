"""Trains an SRGAN across the change of its phase and saves its weights. test_super_resolution.py starts it in one
process and, by torchrun, in two."""

import os
import sys

import torch

from lightning_gen.training.callbacks.record import ImageBudget
from lightning_gen.training.fit import build

BATCH, BATCHES = 4, 4
FIRST = "{images: 8, discriminator_steps: 0, weights: {pixel: 1, features: 0, adversarial: 0}}"
PHASES = f"[{FIRST}, {{weights: {{features: 0.1}}}}]"

if __name__ == "__main__":
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    words = ["-c", "configs/super_resolution/srgan.yaml", "--data.init_args.batch_size", str(BATCH // world)]
    words += ["--trainer.accelerator", "cpu", "--trainer.devices", str(world), "--run.root", f"{sys.argv[1]}.runs"]
    words += ["--trainer.strategy", "ddp"] if world > 1 else []
    words += ["--model.init_args.generator.init_args.width", "4", "--evaluation.samples", "0"]
    norm = "lightning_gen.nets.layers.norms.InstanceNorm"
    words += ["--model.init_args.discriminator.init_args.width", "4", "--run.health_every", "0"]
    words += [f"--model.init_args.discriminator.init_args.norm={norm}", f"--model.init_args.training.phases={PHASES}"]
    for player in ("generator", "discriminator"):
        # Adam divides by the root of the second moment: a gradient that is 0 but for rounding would be blown up.
        words += [f"--model.init_args.training.{player}_optimizer.init_args.eps", "1e-3"]
    cli = build(words)
    cli.trainer.callbacks.append(ImageBudget(BATCH * BATCHES))
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    assert cli.model.images_seen == BATCH * BATCHES
    torch.save({k: p.detach().clone() for k, p in cli.model.named_parameters()}, f"{sys.argv[1]}.{rank}")
