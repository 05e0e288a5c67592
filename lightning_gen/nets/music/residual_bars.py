"""Residual networks for bars, without norms: a generator whose steps see each other, and a discriminator that sees the
bar before. Without batch norm the gradient of one bar's logit is its own, which R1 and R2 need."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from lightning_gen.music.notation import STEPS, SYMBOLS
from lightning_gen.nets.gan.discriminator import DiscriminatorOutput
from lightning_gen.nets.layers.last import LastLinear
from lightning_gen.nets.music.midinet import CHORD, spread

__all__ = ["ResidualBarDiscriminator", "ResidualBarGenerator"]

#: of what a block adds: a sum of several blocks then begins near its input
_SHARE = 0.3


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv1d(width, width, 5, padding=2) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + _SHARE * self.second(leaky_relu(self.first(leaky_relu(x, 0.2)), 0.2))


@final
class ResidualBarGenerator(nn.Module):
    """Noise, chord and the bar before -> a bar.

    Args:
        latent_dim: Z, 1 or more.
        width: channels.
        blocks: residual blocks of two convolutions over five sixteenths.
    """

    def __init__(self, latent_dim: int, width: int = 128, blocks: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(latent_dim + CHORD, STEPS * width)
        self.join = nn.Conv1d(width + CHORD + SYMBOLS, width, 1)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.last = nn.Conv1d(width, SYMBOLS, 1)

    def forward(self, z: Tensor, chord: Tensor, previous: Tensor) -> Tensor:
        """(B, Z), chord vectors (B, 13), one-hot bars (B, 38, 16) -> raw outputs (B, 38, 16)."""
        x = self.first(torch.cat([z, chord], 1)).unflatten(1, (-1, STEPS))  # (B, W, 16)
        x = self.blocks(self.join(torch.cat([x, spread(chord, STEPS), previous], 1)))
        return self.last(leaky_relu(x, 0.2))


@final
class ResidualBarDiscriminator(nn.Module):
    """A bar, its chord and the bar before -> one logit; the activations before it are the features that are matched.

    Args:
        width: channels.
        blocks: as in `ResidualBarGenerator`.
    """

    def __init__(self, width: int = 96, blocks: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv1d(2 * SYMBOLS + CHORD, width, 1)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.last = LastLinear(width * STEPS, 1)

    def forward(self, bars: Tensor, chord: Tensor, previous: Tensor) -> DiscriminatorOutput:
        """Bars (B, 38, 16), chord vectors (B, 13), one-hot bars (B, 38, 16)."""
        x = self.blocks(self.first(torch.cat([bars, spread(chord, STEPS), previous], 1)))
        features = leaky_relu(x, 0.2).flatten(1)  # (B, W * 16)
        return DiscriminatorOutput(self.last(features)[:, 0], (features,))
