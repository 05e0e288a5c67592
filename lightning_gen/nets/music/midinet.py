"""The networks of MidiNet (Yang et al. 2017, Section 3), as convolutions over the 16 steps; the symbols are channels.

A chord is a vector of 13 numbers. Where the paper convolves over all 128 pitches at once, channels are summed here,
which is the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot, relu, sigmoid

from lightning_gen.music.notation import STEPS, SYMBOLS
from lightning_gen.nets.gan.discriminator import DiscriminatorOutput
from lightning_gen.nets.layers.last import LastLinear

__all__ = [
    "CHORD",
    "BarDiscriminator",
    "BarGenerator",
    "BarOutput",
    "Conditioner",
    "GumbelOneHot",
    "OneHot",
    "Sigmoid",
    "spread",
]

#: numbers of a chord vector
CHORD = 13


class BarOutput(nn.Module, ABC):
    """Raw outputs of the generator -> bars as the discriminator sees them, and as symbols."""

    @abstractmethod
    def forward(self, raw: Tensor, uniform: Tensor) -> Tensor:
        """(B, 38, 16), and as many numbers between 0 and 1 -> (B, 38, 16)."""

    def symbols(self, raw: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """Choose symbols, uint8 (B, 16): the most likely ones."""
        return raw.argmax(1).to(torch.uint8)


def _one_hot(scores: Tensor) -> Tensor:
    """The largest of (B, 38, 16) as one-hot, with the gradient of the softmax (straight-through)."""
    soft = scores.softmax(1)
    hard = one_hot(scores.argmax(1), SYMBOLS).transpose(1, 2).to(soft.dtype)
    return hard + soft - soft.detach()


def _gumbel(uniform: Tensor) -> Tensor:
    return -(-uniform.clamp(1e-7, 1 - 1e-7).log()).log()


@final
class GumbelOneHot(BarOutput):
    """A symbol drawn from the softmax of the raw outputs, as one-hot, with the gradient of a softmax under the same
    Gumbel noise (Jang et al. 2017, Eq. 2 and Section 2.2)."""

    def forward(self, raw: Tensor, uniform: Tensor) -> Tensor:
        return _one_hot(raw + _gumbel(uniform))

    def symbols(self, raw: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        return (raw + temperature * _gumbel(uniform)).argmax(1).to(torch.uint8)


@final
class OneHot(BarOutput):
    """The most likely symbol of each step, with the gradients of the softmax (straight-through, Bengio et al. 2013)."""

    def forward(self, raw: Tensor, uniform: Tensor) -> Tensor:
        return _one_hot(raw)


@final
class Sigmoid(BarOutput):
    """Values between 0 and 1, as in the paper: the discriminator can tell them from real bars by value alone."""

    def forward(self, raw: Tensor, uniform: Tensor) -> Tensor:
        return sigmoid(raw)


@final
class Conditioner(nn.Module):
    """The bar before as maps of 16, 8, 4 and 2 steps (Yang et al. 2017, Section 3.3).

    Args:
        width: channels of each.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Conv1d(SYMBOLS, width, 1)
        self.halvings = nn.ModuleList(nn.Conv1d(width, width, 2, 2) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(4))

    def forward(self, previous: Tensor) -> list[Tensor]:
        """One-hot bars (B, 38, 16) -> maps of 2, 4, 8 and 16 steps, (B, W, S) each."""
        maps = [leaky_relu(self.norms[0](self.first(previous)), 0.2)]
        for convolution, norm in zip(self.halvings, list(self.norms)[1:], strict=True):
            maps.append(leaky_relu(norm(convolution(maps[-1])), 0.2))
        return maps[::-1]


@final
class BarGenerator(nn.Module):
    """Noise, chord and the bar before -> a bar.

    Args:
        latent_dim: Z, 1 or more.
        joins: at which lengths the maps of the bar before are read: all of them is the paper's stable mode, [16] its
            creative one.
        width: channels between the transposed convolutions.
        hidden: features of the first layer.
    """

    def __init__(
        self,
        latent_dim: int,
        joins: Sequence[int] = (2, 4, 8, 16),
        width: int = 128,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        self.conditioner, self.joins = Conditioner(), tuple(joins)
        self.first, self.first_norm = nn.Linear(latent_dim + CHORD, hidden), nn.BatchNorm1d(hidden)
        self.second, self.second_norm = nn.Linear(hidden + CHORD, 2 * width), nn.BatchNorm1d(2 * width)
        inputs = [width + CHORD + (self.conditioner.width if steps in self.joins else 0) for steps in (2, 4, 8, 16)]
        self.doublings = nn.ModuleList(nn.ConvTranspose1d(channels, width, 2, 2) for channels in inputs[:3])
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(3))
        self.last = nn.Conv1d(inputs[3], SYMBOLS, 1)

    def forward(self, z: Tensor, chord: Tensor, previous: Tensor) -> Tensor:
        """(B, Z), chord vectors (B, 13), one-hot bars (B, 38, 16) -> raw outputs (B, 38, 16)."""
        maps = self.conditioner(previous)
        x = relu(self.first_norm(self.first(torch.cat([z, chord], 1))))
        x = relu(self.second_norm(self.second(torch.cat([x, chord], 1)))).unflatten(1, (-1, 2))  # (B, W, 2)
        for doubling, norm, seen in zip(self.doublings, self.norms, maps[:3], strict=True):
            x = relu(norm(doubling(self._joined(x, chord, seen))))
        return self.last(self._joined(x, chord, maps[3]))

    def _joined(self, x: Tensor, chord: Tensor, seen: Tensor) -> Tensor:
        parts = [x, spread(chord, x.shape[2])]
        return torch.cat([*parts, seen] if x.shape[2] in self.joins else parts, 1)


def spread(chord: Tensor, steps: int) -> Tensor:
    """Chord vectors (B, 13) at each step: (B, 13, S)."""
    return chord[:, :, None].expand(-1, -1, steps)


@final
class BarDiscriminator(nn.Module):
    """A bar and its chord -> one logit; the activations of the first layer are the features that are matched."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(SYMBOLS + CHORD, 14, 2, 2)
        self.second, self.second_norm = nn.Conv1d(14 + CHORD, 77, 4, 2), nn.BatchNorm1d(77)
        self.third, self.third_norm = nn.Linear(77 * 3 + CHORD, 1024), nn.BatchNorm1d(1024)
        self.last = LastLinear(1024 + CHORD, 1)

    def forward(self, bars: Tensor, chord: Tensor, previous: Tensor) -> DiscriminatorOutput:
        """Bars (B, 38, 16), chord vectors (B, 13); the bars before, (B, 38, 16), are not looked at."""
        features = leaky_relu(self.first(torch.cat([bars, spread(chord, STEPS)], 1)), 0.2)  # (B, 14, 8)
        x = torch.cat([features, spread(chord, STEPS // 2)], 1)
        x = leaky_relu(self.second_norm(self.second(x)), 0.2).flatten(1)  # (B, 77 * 3)
        x = leaky_relu(self.third_norm(self.third(torch.cat([x, chord], 1))), 0.2)
        return DiscriminatorOutput(self.last(torch.cat([x, chord], 1))[:, 0], (features,))
