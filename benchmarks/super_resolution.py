"""What does the framework cost a super-resolution model? In one training, rounds of the framework, of a bare loop with
the same networks on the same crops, and of upscaling beside torch's own interpolation take turns.

    python -m benchmarks.super_resolution      # prints a table, writes results/super_resolution.json

framework     `lightning-gen fit` of SRGAN in its second phase, with weight average, logging and progress
bare          a loop by hand on the same loader: the discriminator, then the generator on the same outputs
network       one picture of 64x64 pixels through the network, x4
interpolate   the same by `torch.nn.functional.interpolate`, bicubic
"""

import argparse
import copy
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, l1_loss

from benchmarks import gan
from benchmarks.interleave import record
from benchmarks.translation import _steps


class Rounds(gan.Rounds):
    """Rounds of the training around it, of the bare loop and of one picture; arguments as `benchmarks.gan.Rounds`."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        names = ["framework", "bare", "network", "interpolate"]
        for times in (gan.SECONDS, gan.WORKED):
            times.clear()
            times.update({name: [] for name in names})
        step, batches = _srgan(pl_module), gan._epochs(trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        network, picture = copy.deepcopy(pl_module.generator).eval(), torch.rand(1, 3, 64, 64)  # type: ignore[operator,union-attr]
        self.loops["bare"] = lambda: _steps(pl_module, step, batches, self.steps)
        self.loops["network"] = lambda: _without_gradients(lambda: network(picture))
        self.loops["interpolate"] = lambda: _without_gradients(
            lambda: interpolate(picture, scale_factor=4.0, mode="bicubic", antialias=True)
        )
        self.began = gan._now()


@torch.no_grad()
def _without_gradients(work: Callable[[], Any]) -> None:
    work()


def _srgan(module: Any) -> Callable[[Tensor, Tensor], None]:
    generator, judge = copy.deepcopy(module.generator), copy.deepcopy(module.discriminator)
    g, d = (torch.optim.Adam(net.parameters(), 2e-4, (0.9, 0.99)) for net in (generator, judge))

    def to(logits: Tensor, value: float) -> Tensor:
        return binary_cross_entropy_with_logits(logits, torch.full_like(logits, value))

    def step(small: Tensor, large: Tensor) -> None:
        fake = generator(small)
        judge.requires_grad_(True)
        d.zero_grad()
        (to(judge(fake.detach()).logits, 0.0) + to(judge(large).logits, 1.0)).backward()
        d.step()
        judge.requires_grad_(False)
        g.zero_grad()
        seen, true = judge(fake), judge(large)
        pairs = zip(seen.features, true.features, strict=True)
        features = sum(((a - b.detach()).abs().mean() for a, b in pairs), torch.zeros(()))
        (l1_loss(fake, large) + 0.1 * features + 1e-3 * to(seen.logits, 1.0)).backward()
        g.step()

    return step


def measure(steps: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of a round, by case; the game alone, which is the last phase."""
    phases = "[{weights: {pixel: 1, features: 0.1, adversarial: 0.001}}]"
    words = ["-c", "configs/super_resolution/srgan.yaml", f"--model.init_args.training.phases={phases}"]
    return gan.seconds_of_rounds("benchmarks.super_resolution.Rounds", words, steps, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    about = {"config": "configs/super_resolution/srgan.yaml", "steps_per_round": options.steps}
    record("super_resolution", measure(options.steps, options.repeats), "bare", about)


if __name__ == "__main__":
    main()
