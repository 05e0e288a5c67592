"""Small networks that map one half of a coupling to the parameters of the other."""

import torch
from torch import Tensor, nn

from lightning_gen.context import with_context

__all__ = ["ConvConditioner", "GlowConditioner", "MLPConditioner", "ZeroConv"]


class ConvConditioner(nn.Module):
    """Residual 3x3 convolutions (B, C, H, W) -> (B, out, H, W); zero at start, so a coupling starts as the identity.

    Args:
        channels: C.
        out: channels of the output.
        width: hidden channels.
        blocks: residual blocks.
        dropout: in each block, 0..1.
    """

    def __init__(self, channels: int, out: int, width: int = 64, blocks: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for _ in range(blocks)
        )
        self.head = nn.Conv2d(width, out, 3, padding=1)
        _zero(self.head)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for block in self.blocks:
            h = h + block(h)
        return self.head(torch.relu(h))


class GlowConditioner(nn.Sequential):
    """Convolutions of 3x3, 1x1 and 3x3 (B, C, H, W) -> (B, out, H, W), zero at start (Kingma and Dhariwal 2018,
    Section 3.3).

    Args:
        channels: C.
        out: channels of the output.
        width: hidden channels; 512 in the paper.
    """

    def __init__(self, channels: int, out: int, width: int = 512) -> None:
        head = nn.Conv2d(width, out, 3, padding=1)
        _zero(head)
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
            nn.ReLU(inplace=True),
            head,
        )


class ZeroConv(nn.Conv2d):
    """One 3x3 convolution (B, C, H, W) -> (B, out, H, W), zero at start.

    Args:
        channels: C.
        out: channels of the output.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 3, padding=1)
        _zero(self)


class MLPConditioner(nn.Module):
    """(B, D) and context (B, K) -> (B, out); zero at start.

    Args:
        dim: D.
        context_dim: K, 0 without a context.
        out: length of the output.
        width: of both hidden layers.
        dropout: of both hidden layers, 0..1.
    """

    def __init__(self, dim: int, context_dim: int, out: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        head = nn.Linear(width, out)
        _zero(head)
        self.layers = nn.Sequential(
            nn.Linear(dim + context_dim, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            head,
        )

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.layers(with_context(x, context))


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
