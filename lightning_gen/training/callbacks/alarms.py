"""Alarms of adversarial training: each is raised by the last measurements and comes with one line of advice."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import median
from typing import ClassVar, final

__all__ = [
    "ALARMS",
    "Alarm",
    "Collapse",
    "ColourInversion",
    "DirectionCollapse",
    "Measurement",
    "OneDiscriminatorWins",
    "Oscillation",
    "VanishingGradient",
]

#: name without ``health/`` -> value
Measurement = dict[str, float]


class Alarm(ABC):
    """A failure of training that shows in the last `patience` measurements."""

    name: ClassVar[str]
    advice: ClassVar[str]
    patience: ClassVar[int]

    @abstractmethod
    def why(self, measurements: Sequence[Measurement]) -> str | None:
        """Return what shows the failure in a few words; None where nothing does.

        Args:
            measurements: of the whole training, oldest first, at least `patience`.
        """


@final
class VanishingGradient(Alarm):
    """The generator learns nothing any more: its gradient has fallen below `least` of its largest, while the
    discriminator tells nearly all images apart (Arjovsky and Bottou 2017, Theorem 2.4)."""

    name = "vanishing gradients"
    advice = (
        "use the non-saturating or the Wasserstein loss, add a gradient penalty or spectral normalisation, or slow the "
        "discriminator down"
    )
    patience = 5
    least: ClassVar[float] = 0.01

    def why(self, measurements: Sequence[Measurement]) -> str | None:
        largest = max(r["gradient_g"] for r in measurements)
        newest = measurements[-self.patience :]
        if any(r["gradient_g"] > self.least * largest or r.get("auroc", 1.0) < 0.95 for r in newest):
            return None
        share = newest[-1]["gradient_g"] / largest if largest else 0.0
        return f"the generator's gradient is {share:.1e} of its largest, and the discriminator tells the images apart"


@final
class Oscillation(Alarm):
    """The players chase each other: images of fixed noise keep moving about as far as real images are apart."""

    name = "oscillation"
    advice = "lower both learning rates or the momentum, add a gradient penalty, or sample the averaged weights"
    patience = 10
    most: ClassVar[float] = 0.5

    def why(self, measurements: Sequence[Measurement]) -> str | None:
        move = median(r["fixed_noise_drift"] for r in measurements[-self.patience :])
        if move < self.most:
            return None
        return f"images of fixed noise move by {move:.2f} of the real spread between measurements"


@final
class Collapse(Alarm):
    """The images are all alike, or those of one class are, or most of the modes that are known are not reached."""

    name = "collapse"
    advice = (
        "use the Wasserstein loss with a gradient penalty, or R1; larger batches and a lower generator learning rate "
        "help too"
    )
    patience = 10
    least_spread: ClassVar[float] = 0.25
    least_within: ClassVar[float] = 0.25
    least_modes: ClassVar[float] = 0.5

    def why(self, measurements: Sequence[Measurement]) -> str | None:
        newest = measurements[-self.patience :]
        if median(r["diversity"] for r in newest) < self.least_spread:
            return f"images are {newest[-1]['diversity']:.2f} times as far apart as real ones"
        if median(r.get("class_diversity", 1.0) for r in newest) < self.least_within:
            return f"images of a class are {newest[-1]['class_diversity']:.2f} times as far apart as real ones"
        if median(r.get("mode_share", 1.0) for r in newest) < self.least_modes:
            return f"{newest[-1]['modes']:.0f} modes are reached, {newest[-1]['mode_share']:.0%} of them"
        return None


@final
class OneDiscriminatorWins(Alarm):
    """Of several discriminators one tells nearly all pictures apart, and another does not: the generators follow the
    one that still gives them a gradient."""

    name = "one discriminator wins"
    advice = (
        "lower the learning rate of the discriminators, give them fewer layers or smaller patches, or add pictures to "
        "the domain of that one"
    )
    patience = 5
    wins: ClassVar[float] = 0.99
    plays: ClassVar[float] = 0.9

    def why(self, measurements: Sequence[Measurement]) -> str | None:
        newest = measurements[-self.patience :]
        sides = [name for name in newest[-1] if name.startswith("auroc_")]
        for side in sides:
            others = [name for name in sides if name != side]
            if all(r[side] >= self.wins and any(r[name] <= self.plays for name in others) for r in newest):
                return (
                    f"the discriminator {side.removeprefix('auroc_')} tells {newest[-1][side]:.1%} of the pairs apart"
                )
        return None


@final
class DirectionCollapse(Alarm):
    """Of the two directions of a translation one makes pictures that are all alike, whatever its sources are."""

    name = "collapse of one direction"
    advice = "raise the weight of the cycle loss (training.weights), lower both learning rates, or use smaller patches"
    patience = 5
    least: ClassVar[float] = 0.25

    def why(self, measurements: Sequence[Measurement]) -> str | None:
        newest = measurements[-self.patience :]
        if "diversity_back" not in newest[-1]:
            return None
        for name, where in (("diversity", "there"), ("diversity_back", "back")):
            if median(r[name] for r in newest) < self.least:
                return f"outputs of the generator {where} are {newest[-1][name]:.2f} times as far apart as real ones"
        return None


@final
class ColourInversion(Alarm):
    """A translation makes bright what is dark in its sources, and the domains do not ask for that: the cycle closes as
    well with two inversions."""

    name = "colour inversion"
    advice = (
        "begin anew with another seed or smaller first weights of the generators; the identity loss, or its higher "
        "weight, holds the colours (training.weights)"
    )
    patience = 5
    most: ClassVar[float] = -0.5
    real: ClassVar[float] = -0.25

    def why(self, measurements: Sequence[Measurement]) -> str | None:
        newest = measurements[-self.patience :]
        for side in ("", "_back"):
            name, real = f"luminance_correlation{side}", newest[-1].get("luminance_correlation_real", 0.0)
            if name in newest[-1] and real >= self.real and median(r[name] for r in newest) <= self.most:
                found = f"{newest[-1][name]:.2f}, of real pictures {real:.2f}"
                return f"the luminance of sources and of their outputs has a correlation of {found}"
        return None


#: those that are looked for
ALARMS: tuple[Alarm, ...] = (
    VanishingGradient(),
    Oscillation(),
    Collapse(),
    OneDiscriminatorWins(),
    DirectionCollapse(),
    ColourInversion(),
)
