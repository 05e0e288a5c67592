"""MidiNet: melodies bar by bar, each given its chord and the bar before (Yang et al. 2017)."""

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import AdversarialTraining, GenerativeModule, Losses
from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.losses.penalties import Regularizer
from lightning_gen.models.regularized import RegularizedModule
from lightning_gen.music.bars import check_bars
from lightning_gen.music.notation import chord_vector, legal
from lightning_gen.nets.gan.discriminator import DiscriminatorOutput
from lightning_gen.nets.music.condition import draw_chord, one_hot_bars
from lightning_gen.nets.music.midinet import BarDiscriminator, BarGenerator, BarOutput, GumbelOneHot

__all__ = ["MidiNet"]


@final
class MidiNet(RegularizedModule, GenerativeModule):
    """The generator minimises -log D(G(z)) + 0.1 |E f(x) - E f(G(z))|^2 / 2 + 0.01 |E x - E G(z)|^2 / 2, f the first
    layer of the discriminator (Yang et al. 2017, Eq. 2), twice for each step of the discriminator. Where there are
    several processes each matches the means of its own bars.

    Args:
        spec: of the images; bars with chords.
        loss: of both players; the paper smooths the labels of real bars.
        training: how the players learn.
        generator: called with (latent_dim).
        discriminator: called without arguments; judges a bar, its chord and the bar before.
        regularizers: of the discriminator (the paper has none).
        output: how bars are made of the generator's raw outputs (None: drawn, as one-hot symbols).
        latent_dim: Z, 1 or more.

    Raises:
        UserError: the images are no bars.
    """

    generator: nn.Module
    discriminator: nn.Module
    condition_keys = ("label", "previous")
    generator_weights = {"adversarial": 1.0, "features": 0.1, "mean_bar": 0.01}  # noqa: RUF012

    def __init__(
        self,
        spec: ImageSpec,
        loss: AdversarialLoss,
        training: AdversarialTraining,
        generator: Callable[[int], nn.Module] = BarGenerator,
        discriminator: Callable[[], nn.Module] = BarDiscriminator,
        regularizers: Sequence[Regularizer] = (),
        output: BarOutput | None = None,
        latent_dim: int = 100,
    ) -> None:
        check_bars(spec, "MidiNet", chords=True)
        check_counts("model", latent_dim=latent_dim)
        super().__init__(spec, training)
        self.loss, self.latent_dim = loss, latent_dim
        self.generator, self.discriminator = generator(latent_dim), discriminator()
        self.regularizers = list(regularizers)
        self.output = output or GumbelOneHot()

    def make_fakes(self, batch: Batch) -> Tensor:
        z = self.noise(len(batch["label"]), self.latent_dim)
        raw = self.generator(z, chord_vector(batch["label"]), one_hot_bars(batch["previous"]))
        return self.output(raw, torch.rand_like(raw))

    def judge(self, bars: Tensor, batch: Batch) -> DiscriminatorOutput:
        """Bars (B, 38, 16) with the chords and the bars before of `batch` -> outputs of the discriminator."""
        return self.discriminator(bars, chord_vector(batch["label"]), one_hot_bars(batch["previous"]))

    def discriminator_losses(self, batch: Batch) -> Losses:
        real, fake = one_hot_bars(batch["image"]), self.fakes(batch).detach()
        of_real, of_fake = self.judge(real, batch).logits, self.judge(fake, batch).logits
        self.latest_logits = {"real": of_real.detach(), "fake": of_fake.detach()}
        losses = {"adversarial": self.loss.discriminator(of_real, of_fake)}
        return losses | self.penalties(lambda bars: self.judge(bars, batch).logits, real, fake)

    def generator_losses(self, batch: Batch) -> Losses:
        real, fake = one_hot_bars(batch["image"]), self.fakes(batch)
        of_fake, of_real = self.judge(fake, batch), self.judge(real, batch)
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
