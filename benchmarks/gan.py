"""What does the framework cost a GAN, and what does its fast path gain? In one training, rounds of the framework and of
raw loops with the same networks on the same pictures take turns: the training pauses, the others run, it goes on.

    python -m benchmarks.gan            # prints tables, writes results/gan_dcgan32.json, gan_fast.json, gan_tiny.json

framework     `lightning-gen fit` with weight average, logging, progress and health
same          a loop that does the same by hand: fresh images for each player, frozen opponent, one optimizer each
plain         the loop of tutorials: images for the discriminator are detached, nothing is frozen

`gan_lightning` puts in the framework's place what Lightning alone costs: a module of 20 lines under manual
optimisation, no logger, no callback but the clock.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from benchmarks.interleave import record
from lightning_gen.config.cli import main as command
from lightning_gen.images import to_signed
from lightning_gen.training.fit import build

#: of the newest training: case -> seconds of each round, and of them those that the processor worked for this process
SECONDS: dict[str, list[float]] = {}
WORKED: dict[str, list[float]] = {}
_DCGAN32 = ["--config", "configs/gan/dcgan.yaml", "--config", "configs/data/shapes.yaml"]
_DCGAN32 += ["--data.init_args.batch_size", "32", "--run.ema", "0.995"]
QUESTIONS: dict[str, tuple[list[str], int, dict[str, Any]]] = {
    "gan_dcgan32": (_DCGAN32, 1, {"net": "DCGAN, width 32", "images": "32x32x3", "batch": 32}),
    "gan_fast": (
        [*_DCGAN32, "--model.init_args.training.share_fakes", "true", "--run.channels_last", "true"],
        1,
        {"net": "DCGAN, width 32", "images": "32x32x3", "batch": 32, "share_fakes": True, "channels_last": True},
    ),
    "gan_tiny": (
        ["--config", "benchmarks/gan_health/ring.yaml", "--run.health_every", "3200"],
        20,
        {"net": "MLP, width 64", "images": "1x1x2", "batch": 128},
    ),
}
QUESTIONS["gan_lightning"] = QUESTIONS["gan_tiny"]


class Rounds(Callback):
    """Times rounds of the training around it and of raw loops in turns.

    Args:
        steps: batches of a round.
        repeats: rounds that count; two before them do not.
    """

    def __init__(self, steps: int, repeats: int) -> None:
        self.steps, self.rounds, self.done, self.began = steps, repeats + 2, 0, (0.0, 0.0)
        self.loops: dict[str, Callable[[], None]] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for times in (SECONDS, WORKED):
            times.clear()
            times.update({"framework": [], "same": [], "plain": []})
        loader = trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        for name, step in (("same", _same), ("plain", _plain)):
            self.loops[name] = _loop(pl_module, step, _epochs(loader), self.steps)
        self.began = _now()

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.done += 1
        if self.done % self.steps:
            return
        _add("framework", self.began)
        order = list(self.loops.items())
        for name, loop in order if len(SECONDS["framework"]) % 2 else reversed(order):
            began = _now()
            loop()
            _add(name, began)
        trainer.should_stop = len(SECONDS["framework"]) >= self.rounds
        self.began = _now()


def _epochs(loader: Any) -> Iterator[Any]:
    """Batches without end, each made anew as those of the training are: `itertools.cycle` would keep them all."""
    while True:
        yield from loader


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _add(case: str, began: tuple[float, float]) -> None:
    for times, now, then in zip((SECONDS, WORKED), _now(), began, strict=True):
        times[case].append(now - then)


Step = Callable[[nn.Module, nn.Module, Any, Tensor, list], None]


def _loop(module: Any, step: Step, batches: Any, steps: int) -> Callable[[], None]:
    """`steps` steps of a raw loop on networks of its own."""
    # The raw loops have their weights in the common order, whatever that of the training is.
    copies = [copy.deepcopy(network) for network in (module.generator, module.discriminator)]
    networks = [network.to(memory_format=torch.contiguous_format) for network in copies]
    optimizers = [
        module.training_plan.generator_optimizer(networks[0].parameters()),
        module.training_plan.discriminator_optimizer(networks[1].parameters()),
    ]

    def run() -> None:
        for _ in range(steps):
            real = to_signed(next(batches)["image"], module.spec.levels)
            step(networks[0], networks[1], partial(torch.randn, len(real), module.latent_dim), real, optimizers)

    return run


def judge(discriminator: nn.Module, fake: Tensor, real: Tensor, optimizer: Any) -> None:
    """A step of the discriminator of the non-saturating game."""
    optimizer.zero_grad()
    softplus = nn.functional.softplus
    loss = softplus(-discriminator(real).logits).mean() + softplus(discriminator(fake).logits).mean()
    loss.backward()
    optimizer.step()


def fool(discriminator: nn.Module, fake: Tensor, optimizer: Any) -> None:
    """A step of the generator that `fake` comes from."""
    optimizer.zero_grad()
    nn.functional.softplus(-discriminator(fake).logits).mean().backward()
    optimizer.step()


def _same(generator: nn.Module, discriminator: nn.Module, noise: Any, real: Tensor, optimizers: list) -> None:
    with torch.no_grad():
        fake = generator(noise())
    judge(discriminator, fake, real, optimizers[1])
    discriminator.requires_grad_(False)
    fool(discriminator, generator(noise()), optimizers[0])
    discriminator.requires_grad_(True)


def _plain(generator: nn.Module, discriminator: nn.Module, noise: Any, real: Tensor, optimizers: list) -> None:
    judge(discriminator, generator(noise()).detach(), real, optimizers[1])
    fool(discriminator, generator(noise()), optimizers[0])


class _Bare(LightningModule):
    """What a GAN needs of Lightning, and no more."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = copy.deepcopy(module.generator), copy.deepcopy(module.discriminator)
        self.factories = module.training_plan.generator_optimizer, module.training_plan.discriminator_optimizer
        self.levels, self.latent_dim = module.spec.levels, module.latent_dim

    def configure_optimizers(self) -> Any:
        return self.factories[0](self.generator.parameters()), self.factories[1](self.discriminator.parameters())

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizers: Any = self.optimizers()
        real = to_signed(batch["image"], self.levels)
        with torch.no_grad():
            fake = self.generator(torch.randn(len(real), self.latent_dim))
        softplus = nn.functional.softplus
        optimizers[1].zero_grad()
        of_real, of_fake = self.discriminator(real).logits, self.discriminator(fake).logits
        self.manual_backward(softplus(-of_real).mean() + softplus(of_fake).mean())
        optimizers[1].step()
        self.discriminator.requires_grad_(False)
        optimizers[0].zero_grad()
        fake = self.generator(torch.randn(len(real), self.latent_dim))
        self.manual_backward(softplus(-self.discriminator(fake).logits).mean())
        optimizers[0].step()
        self.discriminator.requires_grad_(True)


class _BareRounds(Rounds):
    """Rounds of bare Lightning; the raw loops are those of the module that it stands for."""

    def __init__(self, module: Any, steps: int, repeats: int) -> None:
        super().__init__(steps, repeats)
        self.module = module

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, self.module)


def _lightning(arguments: list[str], steps: int, repeats: int) -> Any:
    """`SECONDS` and `WORKED`; ``framework`` is bare Lightning."""
    cli = build([*arguments, "--trainer.accelerator", "cpu"])
    none = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    rounds = _BareRounds(cli.model, steps, repeats)
    trainer = Trainer(accelerator="cpu", max_epochs=-1, limit_val_batches=0, callbacks=[rounds], **none)  # type: ignore[arg-type]
    trainer.fit(_Bare(cli.model), datamodule=cli.datamodule)
    return SECONDS, WORKED


def _framework(name: str, arguments: list[str], steps: int, repeats: int) -> Any:
    """`SECONDS` and `WORKED` of `lightning-gen fit` and of the raw loops."""
    rounds = f"[{{class_path: benchmarks.gan.Rounds, init_args: {{steps: {steps}, repeats: {repeats}}}}}]"
    with tempfile.TemporaryDirectory() as root:
        words = ["fit", *arguments, "--run.root", root, "--run.name", name, "--run.images", "100000000"]
        words += ["--evaluation.samples", "0", "--trainer.accelerator", "cpu", "--trainer.callbacks", rounds]
        if command(words):
            raise SystemExit(2)
    from benchmarks import gan  # of the module that the configuration imported by name: as a program, this is another

    return gan.SECONDS, gan.WORKED


def seconds_of_rounds(callback: str, words: list[str], steps: int, repeats: int) -> dict[str, list[float]]:
    """Train by ``fit`` with WORDS on the CPU, with nothing beside the steps but the callback that times rounds.

    Args:
        callback: class path, called with (steps, repeats); it fills `SECONDS`.
        words: arguments of ``fit``.
        steps: batches of a round.
        repeats: rounds that count.

    Returns:
        case -> seconds of each round, without the first two.
    """
    rounds = f"[{{class_path: {callback}, init_args: {{steps: {steps}, repeats: {repeats}}}}}]"
    with tempfile.TemporaryDirectory() as root:
        quiet = ["--run.root", root, "--run.images", "100000000", "--run.evaluate_every", "0", "--run.grid_every", "0"]
        quiet += ["--evaluation.samples", "0", "--trainer.accelerator", "cpu", "--trainer.callbacks", rounds]
        if command(["fit", *words, *quiet]):
            raise SystemExit(2)
    return {case: times[2:] for case, times in SECONDS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--questions", choices=list(QUESTIONS), nargs="+", default=list(QUESTIONS))
    options = parser.parse_args()
    for name in options.questions:
        arguments, steps, about = QUESTIONS[name]
        measure = _lightning if name == "gan_lightning" else partial(_framework, name)
        counted, worked = (
            {case: [t / steps for t in times[2:]] for case, times in measured.items()}
            for measured in measure(arguments, steps, options.repeats)
        )
        means, work = ({k: 1000 * sum(v) / len(v) for k, v in times.items()} for times in (counted, worked))
        more: dict[str, Any] = {"steps_per_round": steps}
        for key, values in (("mean_ms_per_step", means), ("mean_processor_ms_per_step", work)):
            more[key] = {case: round(value, 3) for case, value in values.items()}
        record(name, counted, "plain" if name == "gan_fast" else "same", about | more)
        print(f"{name}: framework - same, mean, of the processor: {work['framework'] - work['same']:+.3f} ms a step")
        print(f"{name}: framework - same, mean: {means['framework'] - means['same']:+.3f} ms a step")


if __name__ == "__main__":
    main()
