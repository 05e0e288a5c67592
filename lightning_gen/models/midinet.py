"""MidiNet: melodies bar by bar, each given its chord and the bar before (Yang et al. 2017)."""

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialModule, AdversarialTraining, GenerativeModule, Losses
from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.music.notation import chord_vector, legal
from lightning_gen.nets.music.condition import check_bars, draw_chord, one_hot_bars
from lightning_gen.nets.music.midinet import BarDiscriminator, BarGenerator, BarOutput, GumbelOneHot

__all__ = ["MidiNet"]


@final
class MidiNet(AdversarialModule, GenerativeModule):
    """The generator minimises -log D(G(z)) + 0.1 |E f(x) - E f(G(z))|^2 / 2 + 0.01 |E x - E G(z)|^2 / 2, f the first
    layer of the discriminator (Yang et al. 2017, Eq. 2), twice for each step of the discriminator. Where there are
    several processes each matches the means of its own bars.

    Args:
        spec: of the images; bars with chords.
        loss: of both players; the paper smooths the labels of real bars.
        training: how the players learn.
        generator: called with (latent_dim).
        output: how bars are made of the generator's raw outputs (None: drawn, as one-hot symbols).
        latent_dim: Z, 1 or more.

    Raises:
        UserError: the images are no bars.
    """

    generator: nn.Module
    discriminator: BarDiscriminator
    condition_keys = ("label", "previous")
    generator_weights = {"adversarial": 1.0, "features": 0.1, "mean_bar": 0.01}  # noqa: RUF012

    def __init__(
        self,
        spec: ImageSpec,
        loss: AdversarialLoss,
        training: AdversarialTraining,
        generator: Callable[[int], nn.Module] = BarGenerator,
        output: BarOutput | None = None,
        latent_dim: int = 100,
    ) -> None:
        check_bars(spec, "MidiNet")
        check_counts("model", latent_dim=latent_dim)
        super().__init__(spec, training)
        self.loss, self.latent_dim = loss, latent_dim
        self.generator, self.discriminator = generator(latent_dim), BarDiscriminator()
        self.output = output or GumbelOneHot()

    def make_fakes(self, batch: Batch) -> Tensor:
        z = self.noise(len(batch["label"]), self.latent_dim)
        raw = self.generator(z, chord_vector(batch["label"]), one_hot_bars(batch["previous"]))
        return self.output(raw, torch.rand_like(raw))

    def discriminator_losses(self, batch: Batch) -> Losses:
        chord = chord_vector(batch["label"])
        of_real = self.discriminator(one_hot_bars(batch["image"]), chord).logits
        of_fake = self.discriminator(self.fakes(batch).detach(), chord).logits
        self.latest_logits = {"real": of_real.detach(), "fake": of_fake.detach()}
        return {"adversarial": self.loss.discriminator(of_real, of_fake)}

    def generator_losses(self, batch: Batch) -> Losses:
        chord, real, fake = chord_vector(batch["label"]), one_hot_bars(batch["image"]), self.fakes(batch)
        of_fake, of_real = self.discriminator(fake, chord), self.discriminator(real, chord)
        return {
            "adversarial": self.loss.generator(of_fake.logits, lambda: of_real.logits),
            "features": _half_square(of_fake.features[0].mean(0) - of_real.features[0].detach().mean(0)),
            "mean_bar": _half_square(fake.mean(0) - real.mean(0)),
        }

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        rows = condition if condition is not None else draw_chord(n, generator, self.device)
        z = temperature * self.noise(n, self.latent_dim, generator=generator)
        chord, previous = chord_vector(rows["label"].to(self.device)), rows["previous"].to(self.device)
        raw = self.generator(z, chord, one_hot_bars(previous))  # (n, 38, 16)
        symbols = self.output.symbols(raw, self.uniform(*raw.shape, generator=generator), temperature)
        return legal(symbols)[:, None, None]


def _half_square(x: Tensor) -> Tensor:
    """|x|^2 / 2, summed (TensorFlow's l2_loss, with which the paper's weights were chosen)."""
    return 0.5 * x.square().sum()
