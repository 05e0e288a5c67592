"""What does the framework cost a translation model? In one training, rounds of the framework and of bare loops with the
same networks on the same pictures take turns: the training pauses, the others run, it goes on.

    python -m benchmarks.translation        # prints tables, writes results/translation_{pix2pix,cyclegan,cut}.json

framework     `lightning-gen fit` with weight average, logging, progress and health
bare          a loop by hand in the order of work of the papers' own code, rebuilt from its description: CycleGAN keeps
              its pool in a list, CUT encodes sources and outputs anew for each contrast
"""

import argparse
import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse_loss

from benchmarks import gan
from benchmarks.interleave import record
from lightning_gen.images import to_signed

QUESTIONS = ("pix2pix", "cyclegan", "cut")
Loss = Callable[[Tensor, Tensor], Tensor]


class Rounds(gan.Rounds):
    """Rounds of the training around it and of the bare loop of its model; arguments as `benchmarks.gan.Rounds`."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for times in (gan.SECONDS, gan.WORKED):
            times.clear()
            times.update({"framework": [], "bare": []})
        make = {"Pix2Pix": _pix2pix, "CycleGAN": _cyclegan, "CUT": _cut}[type(pl_module).__name__]
        step, batches = make(pl_module), gan._epochs(trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        self.loops["bare"] = lambda: _steps(pl_module, step, batches, self.steps)
        self.began = gan._now()


def _steps(module: Any, step: Callable[[Tensor, Tensor], None], batches: Iterator[Any], steps: int) -> None:
    for _ in range(steps):
        batch = next(batches)
        step(to_signed(batch["source"], module.spec.source.levels), to_signed(batch["image"], module.spec.levels))


def _adam(*networks: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for network in networks for p in network.parameters()], 2e-4, (0.5, 0.999))


def _to(logits: Tensor, value: float, loss: Loss = mse_loss) -> Tensor:
    return loss(logits, torch.full_like(logits, value))


def _pix2pix(module: Any) -> Callable[[Tensor, Tensor], None]:
    generator, judge = copy.deepcopy(module.generator), copy.deepcopy(module.discriminator)
    g, d, bce = _adam(generator), _adam(judge), binary_cross_entropy_with_logits

    def step(a: Tensor, b: Tensor) -> None:
        fake = generator(a)
        judge.requires_grad_(True)
        d.zero_grad()
        (0.5 * (_to(judge(fake.detach(), a).logits, 0.0, bce) + _to(judge(b, a).logits, 1.0, bce))).backward()
        d.step()
        judge.requires_grad_(False)
        g.zero_grad()
        (_to(judge(fake, a).logits, 1.0, bce) + 100 * l1_loss(fake, b)).backward()
        g.step()

    return step


class _Pool:
    """The pool of the papers' code: a list."""

    def __init__(self) -> None:
        self.pictures: list[Tensor] = []

    def __call__(self, new: Tensor) -> Tensor:
        found = []
        for picture in new.detach().split(1):
            if len(self.pictures) < 50:
                self.pictures.append(picture)
            elif random.random() < 0.5:
                at = random.randrange(50)
                picture, self.pictures[at] = self.pictures[at].clone(), picture
            found.append(picture)
        return torch.cat(found)


def _cyclegan(module: Any) -> Callable[[Tensor, Tensor], None]:
    there, back = (copy.deepcopy(module.generator[side]) for side in ("there", "back"))
    judge_b, judge_a = (copy.deepcopy(module.discriminator[side]) for side in ("there", "back"))
    g, d, pool_a, pool_b = _adam(there, back), _adam(judge_a, judge_b), _Pool(), _Pool()

    def step(a: Tensor, b: Tensor) -> None:
        fake_b, fake_a = there(a), back(b)
        judge_a.requires_grad_(False)
        judge_b.requires_grad_(False)
        g.zero_grad()
        game = _to(judge_b(fake_b).logits, 1.0) + _to(judge_a(fake_a).logits, 1.0)
        cycle = l1_loss(back(fake_b), a) + l1_loss(there(fake_a), b)
        identity = l1_loss(there(b), b) + l1_loss(back(a), a)
        (game + 10 * cycle + 5 * identity).backward()
        g.step()
        judge_a.requires_grad_(True)
        judge_b.requires_grad_(True)
        d.zero_grad()
        for judge, real, fake in ((judge_a, a, pool_a(fake_a)), (judge_b, b, pool_b(fake_b))):
            (0.5 * (_to(judge(real).logits, 1.0) + _to(judge(fake).logits, 0.0))).backward()
        d.step()

    return step


def _cut(module: Any) -> Callable[[Tensor, Tensor], None]:
    translator, head = (copy.deepcopy(module.generator[name]) for name in ("translator", "head"))
    judge = copy.deepcopy(module.discriminator)
    g, f, d = _adam(translator), _adam(head), _adam(judge)

    def contrast(source: Tensor, output: Tensor) -> Tensor:
        queries, keys = translator.features(output), translator.features(source)
        places = [torch.randperm(x.shape[2] * x.shape[3])[: module.patches] for x in keys]
        total = torch.zeros(())
        for query, key in zip(head(queries, places), head(keys, places), strict=True):
            logits = torch.bmm(query, key.detach().transpose(1, 2)) / 0.07  # (B, P, P)
            wanted = torch.arange(logits.shape[1]).expand(len(logits), -1)
            total = total + cross_entropy(logits.flatten(0, 1), wanted.flatten())
        return total / len(keys)

    def step(a: Tensor, b: Tensor) -> None:
        made = translator(torch.cat([a, b]))
        fake, same = made[: len(a)], made[len(a) :]
        judge.requires_grad_(True)
        d.zero_grad()
        (0.5 * (_to(judge(fake.detach()).logits, 0.0) + _to(judge(b).logits, 1.0))).backward()
        d.step()
        judge.requires_grad_(False)
        g.zero_grad()
        f.zero_grad()
        (_to(judge(fake).logits, 1.0) + 0.5 * (contrast(a, fake) + contrast(b, same))).backward()
        g.step()
        f.step()

    return step


def measure(name: str, steps: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of a round, by case."""
    words = ["-c", f"configs/translation/{name}.yaml"]
    return gan.seconds_of_rounds("benchmarks.translation.Rounds", words, steps, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--questions", choices=QUESTIONS, nargs="+", default=list(QUESTIONS))
    options = parser.parse_args()
    for name in options.questions:
        seconds = measure(name, options.steps, options.repeats)
        about = {"config": f"configs/translation/{name}.yaml", "steps_per_round": options.steps}
        record(f"translation_{name}", seconds, "bare", about)


if __name__ == "__main__":
    main()
