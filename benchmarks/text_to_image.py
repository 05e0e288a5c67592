"""What does the framework cost StackGAN++? In one training, rounds of the framework and of a bare loop with the same
networks on the same pictures and captions take turns: the training pauses, the other runs, it goes on.

    python -m benchmarks.text_to_image      # prints a table, writes results/text_to_image.json

framework     `lightning-gen fit` with weight average, logging, progress and health
bare          a loop by hand in the order of work of the paper's own code, rebuilt from its description: one set of
              fakes for all players, an optimizer for each size, wrong pairs by captions that are rolled by one
"""

import argparse
import copy
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import softplus

from benchmarks import gan
from benchmarks.interleave import record
from lightning_gen.images import to_signed
from lightning_gen.nets.gan.text.generator import resized

CONFIG = "configs/text/stackgan_tree.yaml"


class Rounds(gan.Rounds):
    """Rounds of the training around it and of the bare loop; arguments as `benchmarks.gan.Rounds`."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for times in (gan.SECONDS, gan.WORKED):
            times.clear()
            times.update({"framework": [], "bare": []})
        step, batches = _step(pl_module), gan._epochs(trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]

        def loop() -> None:
            for _ in range(self.steps):
                step(next(batches))

        self.loops["bare"] = loop
        self.began = gan._now()


def _step(module: Any) -> Callable[[Any], None]:
    generator, matcher = copy.deepcopy(module.generator), copy.deepcopy(module.discriminator)
    plan, sizes = module.training_plan, matcher.sizes
    ascend = plan.generator_optimizer(generator.parameters())
    descend = [plan.discriminator_optimizer(net.parameters()) for net in sizes]
    shrinks, levels = generator.shrinks, module.spec.levels

    def learn(batch: Any) -> None:
        batch = matcher.text.prepare(batch)
        image, code = to_signed(batch["image"], levels), matcher.text.encode(batch["words"])
        drawn = generator(torch.randn(len(image), module.net_noise), batch)
        for net, shrink, fake, optimizer in zip(sizes, shrinks, drawn.images, descend, strict=True):
            net.requires_grad_(True)
            optimizer.zero_grad()
            _of_discriminator(net, resized(image, shrink), fake.detach(), code).backward()
            optimizer.step()
            net.requires_grad_(False)
        loss = drawn.condition_loss
        for net, fake in zip(sizes, drawn.images, strict=True):
            maps = net.embed(fake)
            loss = loss + softplus(-net.match(maps, code)).mean() + softplus(-net.judge(maps)).mean()
        ascend.zero_grad()
        loss.backward()
        ascend.step()

    return learn


def _of_discriminator(net: Any, real: Tensor, fake: Tensor, code: Tensor) -> Tensor:
    of_real, of_fake = net.embed(real), net.embed(fake)
    right, alone = softplus(-net.match(of_real, code)).mean(), softplus(-net.judge(of_real)).mean()
    wrong, made = softplus(net.match(of_real, code.roll(1, 0))).mean(), softplus(net.match(of_fake, code)).mean()
    return right + 0.5 * (wrong + made) + alone + softplus(net.judge(of_fake)).mean()


def measure(steps: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of a round, by case."""
    words = ["-c", CONFIG, "--model.init_args.training.share_fakes", "true"]
    return gan.seconds_of_rounds("benchmarks.text_to_image.Rounds", words, steps, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    about = {"config": CONFIG, "share_fakes": True, "steps_per_round": options.steps}
    record("text_to_image", measure(options.steps, options.repeats), "bare", about)


if __name__ == "__main__":
    main()
