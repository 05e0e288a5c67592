"""The generator of ESRGAN (Wang et al. 2018, Section 3.1): residual-in-residual dense blocks."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.super_resolution.upscaler import Enlarge, NearestConvolution, Upscaler, enlargement, shrink

__all__ = ["RRDBNet"]

#: of what a block adds to its input
_SCALE = 0.2


class _Dense(nn.Module):
    """Five convolutions, each of which sees the input and all outputs before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        outs = [growth] * 4 + [width]
        self.convs = nn.ModuleList(nn.Conv2d(width + i * growth, out, 3, padding=1) for i, out in enumerate(outs))
        shrink(self.convs)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in self.convs[:-1]:
            seen.append(leaky_relu(conv(torch.cat(seen, 1)), 0.2))
        return x + _SCALE * self.convs[-1](torch.cat(seen, 1))


class _Block(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(_Dense(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return x + _SCALE * self.layers(x)


@final
class RRDBNet(Upscaler):
    """Blocks of three dense blocks, no norm, and a skip around all of them; 16.7 million weights as in the paper.

    Args:
        spec: see `Upscaler`.
        width: channels.
        blocks: 1 or more; 23 in the paper.
        growth: channels that each convolution of a dense block adds.
        enlarge: `NearestConvolution` or `ShuffledConvolution`.
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 64,
        blocks: int = 23,
        growth: int = 32,
        enlarge: Enlarge = NearestConvolution,
    ) -> None:
        super().__init__(spec)
        check_counts("generator", width=width, blocks=blocks, growth=growth)
        self.head = nn.Conv2d(spec.channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(width, growth) for _ in range(blocks)))
        self.after = nn.Conv2d(width, width, 3, padding=1)
        self.enlarge = enlargement(width, self.scale, enlarge, lambda: nn.LeakyReLU(0.2))
        last = nn.Conv2d(width, spec.channels, 3, padding=1)
        self.tail = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2), last)

    @property
    def radius(self) -> int:
        return 15 * len(self.blocks) + 6

    def forward(self, source: Tensor) -> Tensor:
        x = self.head(source)
        x = x + self.after(self.blocks(x))
        return self.tail(self.enlarge(x))
