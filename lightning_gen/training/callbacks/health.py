"""The health of a GAN in training: what its losses do not tell."""

import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from lightning_gen.batches import Batch, select_rows, to_device
from lightning_gen.contracts import AdversarialModule, GenerativeModule, ImageData, TranslationModule
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.files import append_json_line
from lightning_gen.images import to_signed
from lightning_gen.metrics.modes import coverage, nearest_mode, spread, spread_within
from lightning_gen.training.callbacks.alarms import ALARMS, Measurement
from lightning_gen.training.callbacks.translation_health import translation_values
from lightning_gen.training.ema import EMA
from lightning_gen.training.interval import ImageInterval
from lightning_gen.training.metrics import log_metrics
from lightning_gen.training.observer import Observer, eval_mode

__all__ = ["Health"]

_PLAYERS = ("gradient_g", "gradient_d")


class Health(Observer):
    """Measure ``health/NAME`` of an `AdversarialModule` every so many images, and raise alarms.

    gradient_g, gradient_d          Euclidean norm of all gradients of each player, before clipping
    accuracy_real, accuracy_fake    share of logits above 0 and below 0; of a critic without a threshold they say little
    auroc                           chance that a real image's logit is above a generated one's; 0.5: cannot tell
    loss_std_g, loss_std_d          standard deviation of the loss over the last `window` batches
    diversity                       mean distance of two generated images by that of two real ones
    class_diversity                 the same of two images of one class, of a model that is conditioned on the label
    fixed_noise_drift               mean change of an image of fixed noise since the last measurement, by that distance
    modes, mode_share, mode_kl      modes reached, their share of all, and the divergence of their shares from the real
                                    ones, nats: known modes of the data, else classes by the embedded classifier
    within_modes                    share of images that lie in some mode
    ema_gap                         distance of the live weights from their average, by the norm of the average

    Of two discriminators the accuracies and auroc are means, and each has its own with the suffix ``_there`` or
    ``_back``; what a translation has besides tells `translation_health`.

    The images are of the live weights, in eval mode, with fixed noise: a measurement touches neither the training nor
    its random numbers. Nothing is read from the device between measurements.

    Args:
        evaluation: whose classifier counts classes; with 0 samples it is not asked.
        folder: of the run; alarms go to ``alarms.jsonl`` in it.
        every: images between measurements; 0: none.
        stop: end training at a collapse.
        images: generated for a measurement.
        window: batches over which the deviation of the losses is taken.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        folder: Path,
        every: int = 3200,
        stop: bool = False,
        images: int = 256,
        window: int = 100,
    ) -> None:
        self.evaluation, self.folder, self.stop, self.images = evaluation, folder, stop, images
        self.interval = ImageInterval(every)
        self.losses = {name: deque[Tensor](maxlen=window) for name in ("loss_g", "loss_d")}
        self.norms: dict[str, Tensor] = {}
        self.waiting = False
        self.measurements: list[Measurement] = []
        self.raised: list[str] = []
        self.before: Tensor | None = None
        self.real_spread = self.real_share = torch.zeros(0)
        self.labels: Tensor | None = None
        self.class_spread = torch.zeros(0)
        self.fixed_batch: Batch = {}
        self.mode_of: Callable[[Tensor], Tensor] | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        # Critic steps: the players' next optimizer steps may lie some batches ahead, so a measurement waits for both.
        if isinstance(pl_module, AdversarialModule) and self.interval.due(pl_module.images_seen):
            self.waiting, self.norms = True, {}
        if isinstance(pl_module, AdversarialModule):
            pl_module.gradients_wanted = self.waiting

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if self.waiting:
            assert isinstance(pl_module, AdversarialModule)
            name = f"gradient_{pl_module.player_of(optimizer)[0]}"
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            self.norms[name] = torch.stack(torch._foreach_norm(gradients)).norm()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if not isinstance(pl_module, AdversarialModule) or not self.interval.every:
            return
        for name, values in self.losses.items():
            if name in pl_module.latest_losses:
                values.append(pl_module.latest_losses[name].clone())  # a replayed step fills it again
        if self.waiting and len(self.norms) == len(_PLAYERS):
            self.waiting = False
            with self.observing():
                self._measure(trainer, pl_module)

    def _measure(self, trainer: Trainer, module: AdversarialModule) -> None:
        if self.mode_of is None and not self.real_spread.numel():
            self._prepare(trainer.datamodule, module)  # type: ignore[attr-defined]
        values: dict[str, Any] = self.norms | discrimination(module.latest_logits)
        for player in ("g", "d"):
            values[f"loss_std_{player}"] = torch.stack(list(self.losses[f"loss_{player}"])).std(unbiased=False)
        values |= self._images(module) | _ema_gap(trainer, module)
        self.measurements.append({name: float(value) for name, value in values.items()})
        log_metrics(trainer, module, {f"health/{name}": v for name, v in self.measurements[-1].items()})
        self._alarm(trainer, module)

    def _prepare(self, data: ImageData, module: AdversarialModule) -> None:
        """Measure the real images: their spread, their modes and the shares of these."""
        batch = next(data.batches("val", 2048, 0, 2048))
        real = batch["image"].to(module.device)
        self.fixed_batch = select_rows(to_device(batch, module.device), 0, self.images)
        signed = to_signed(real, module.spec.levels).flatten(1)
        self.real_spread = spread(signed[: self.images])
        if module.condition_keys == ("label",):
            label = batch["label"].to(module.device)
            self.class_spread = spread_within(signed, label)
            self.labels = label.repeat(-(-self.images // len(label)))[: self.images]
        if data.modes is not None:
            centre, radius = data.modes[0].to(module.device).flatten(1), data.modes[1]
            self.mode_of = lambda x: nearest_mode(to_signed(x, module.spec.levels).flatten(1), centre, radius)
        elif (classifier := self.evaluation.classifier(data, module.device)) is not None:
            self.mode_of = lambda x: classifier.logits(classifier(x)).argmax(1)
        if self.mode_of is not None:
            mode = self.mode_of(real)
            counts = torch.bincount(mode[mode >= 0], minlength=len(centre) if data.modes else module.spec.classes)
            self.real_share = (counts + 0.5) / (counts + 0.5).sum()

    def _images(self, module: AdversarialModule) -> dict[str, Any]:
        condition: Batch | None = None if self.labels is None else {"label": self.labels}
        with eval_mode(module):
            image = self._draw(module, condition)
        signed = to_signed(image, module.spec.levels).flatten(1)
        before = signed if self.before is None else to_signed(self.before, module.spec.levels).flatten(1)
        self.before = image
        scale = self.real_spread.clamp(min=1e-12)
        found = {"diversity": spread(signed) / scale, "fixed_noise_drift": (signed - before).norm(dim=1).mean() / scale}
        if isinstance(module, TranslationModule):
            with eval_mode(module):
                found |= translation_values(module, self.fixed_batch, image)
        if self.labels is not None:
            found["class_diversity"] = spread_within(signed, self.labels) / self.class_spread.clamp(min=1e-12)
        if self.mode_of is None:
            return found
        modes, kl, within = coverage(self.mode_of(image), self.real_share)
        counted = {"modes": modes, "mode_share": modes / len(self.real_share), "mode_kl": kl, "within_modes": within}
        return found | counted

    def _draw(self, module: AdversarialModule, condition: Batch | None) -> Tensor:
        """Draw the same images in each measurement, uint8 (N, C, H, W), of whatever the module can make."""
        generator = torch.Generator().manual_seed(0)
        if isinstance(module, TranslationModule):
            return module.translate(self.fixed_batch, generator)
        assert isinstance(module, GenerativeModule)
        return module.sample(self.images, condition, generator=generator)

    def _alarm(self, trainer: Trainer, module: AdversarialModule) -> None:
        for alarm in ALARMS:
            if alarm.name in self.raised or len(self.measurements) < alarm.patience:
                continue
            why = alarm.why(self.measurements)
            if why is None:
                continue
            self.raised.append(alarm.name)
            if trainer.is_global_zero:
                row = {"images_seen": module.images_seen, "alarm": alarm.name, "why": why, "advice": alarm.advice}
                append_json_line(self.folder / "alarms.jsonl", row)
                text = f"{alarm.name} after {module.images_seen} images: {why}; {alarm.advice}"
                print(f"lightning-gen: {text}", file=sys.stderr)
        if self.stop and trainer.strategy.reduce_boolean_decision("collapse" in self.raised, all=False):
            if trainer.is_global_zero and not trainer.should_stop:
                print(f"lightning-gen: stopped at collapse, {self.folder}/checkpoints keeps the run", file=sys.stderr)
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "interval": self.interval.state_dict(),
            "losses": {name: list(values) for name, values in self.losses.items()},
            "norms": self.norms,
            "waiting": self.waiting,
            "measurements": self.measurements,
            "raised": self.raised,
            "before": self.before,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.interval.load_state_dict(state_dict["interval"])
        self.waiting, self.norms = state_dict["waiting"], state_dict["norms"]
        for name, values in state_dict["losses"].items():
            self.losses[name].extend(values)
        self.raised, self.before = state_dict["raised"], state_dict["before"]
        self.measurements = state_dict["measurements"]


def discrimination(logits: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return how well the discriminator tells the latest batch apart, from its logits of any shape; nothing where the
    model does not give them.

    Logits ``real_NAME`` and ``fake_NAME`` are those of one of several discriminators: each has values with that suffix,
    and their means have none."""
    found: dict[str, Tensor] = {}
    sides = [name.removeprefix("real") for name in logits if name.startswith("real")]
    for side in sides:
        real, fake = logits[f"real{side}"].flatten().float(), logits[f"fake{side}"].flatten().float()
        found[f"accuracy_real{side}"] = (real > 0).float().mean()
        found[f"accuracy_fake{side}"] = (fake < 0).float().mean()
        found[f"auroc{side}"] = auroc(real, fake)
    if len(sides) > 1:
        names = ("accuracy_real", "accuracy_fake", "auroc")
        found |= {name: torch.stack([found[f"{name}{side}"] for side in sides]).mean() for name in names}
    return found


def auroc(positive: Tensor, negative: Tensor) -> Tensor:
    """P(positive > negative) + P(equal) / 2 of two sets of scores (N,) and (M,), by sorting: O((N + M) log M)."""
    ranked = negative.sort().values
    below = torch.searchsorted(ranked, positive).double()  # scores strictly below
    at_most = torch.searchsorted(ranked, positive, right=True).double()
    return (0.5 * (below + at_most) / len(ranked)).mean().float()


def _ema_gap(trainer: Trainer, module: AdversarialModule) -> dict[str, Tensor]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    live = {name: p.detach() for name, p in module.ema_network.named_parameters()}
    for callback in callbacks:
        if isinstance(callback, EMA):
            average = {name: callback.average[name] for name in live}
            gap = torch.stack([(live[name] - average[name]).norm() for name in live]).norm()
            return {"ema_gap": gap / torch.stack([value.norm() for value in average.values()]).norm()}
    return {}
