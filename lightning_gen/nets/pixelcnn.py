"""Gated PixelCNN without blind spot (van den Oord et al. 2016b): a vertical and a horizontal stack.

Channels of one pixel are predicted together: exact for grey images; for colour, an ordering inside the pixel is not
modelled, so `models.autoregressive` accepts one channel only.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_gen.images import ImageSpec

__all__ = ["GatedPixelCNN"]


def _gate(x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)  # Eq. 2


class _GatedLayer(nn.Module):
    """Figure 2. The vertical stack sees all rows above; the horizontal one, the pixels to the left.

    With `first`, the pixel itself is masked out (mask A): every later layer may then see its own position (mask B).
    """

    def __init__(self, channels_in: int, width: int, kernel: int, first: bool) -> None:
        super().__init__()
        self.kernel, self.first = kernel, first
        half = kernel // 2
        self.vertical = nn.Conv2d(channels_in, 2 * width, (half + 1, kernel))
        self.down = nn.Conv2d(2 * width, 2 * width, 1)
        self.horizontal = nn.Conv2d(channels_in, 2 * width, (1, half + (0 if first else 1)))
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        half, rows, columns = self.kernel // 2, v.shape[2], v.shape[3]
        # Row i of `vertical` has seen rows i-half..i of v. The horizontal stack takes it one row late: strictly above.
        # In the first layer v is the image itself; deeper, row i of v may hold row i of the image, and the delay of
        # one row keeps the horizontal stack strictly causal.
        vertical = self.vertical(pad(v, (half, half, half, 0)))
        above = pad(vertical, (0, 0, 1, 0))[:, :, :rows]
        horizontal = self.horizontal(pad(h, (half, 0, 0, 0)))[..., :columns]
        out = self.out(_gate(horizontal + self.down(above)))
        return _gate(vertical), out if self.first else h + out


class GatedPixelCNN(nn.Module):
    """Signed image (B, 1, H, W) -> parameters (B, out, H, W); those of a pixel see only the pixels before it.

    Args:
        spec: of the images.
        out: P of the likelihood.
        width: channels of each stack.
        layers: gated layers, the first with mask A.
        kernel: odd, of the first layer and the others.
        dropout: before the output head, 0..1.
    """

    def __init__(
        self, spec: ImageSpec, out: int, width: int = 64, layers: int = 6, kernel: int = 5, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _GatedLayer(spec.channels if i == 0 else width, width, kernel, first=i == 0) for i in range(layers)
        )
        self.head = nn.Sequential(
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(width, 2 * width, 1),
            nn.ReLU(),
            nn.Conv2d(2 * width, out, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        v = h = x
        for layer in self.layers:
            v, h = layer(v, h)
        return self.head(h)
