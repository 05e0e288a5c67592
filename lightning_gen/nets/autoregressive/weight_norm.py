"""Weight-normed convolutions of the rows above; the first batch sets their scale (Salimans and Kingma 2016)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from lightning_gen.distributed import mean_over_processes
from lightning_gen.nets.autoregressive.plane import RowPlane

__all__ = ["WeightNormConv2d"]


class WeightNormConv2d(nn.Module):
    """A convolution of the rows above and the columns around, by weight and length (Salimans and Kingma 2016). Its
    first batch in training sets length and bias, so that every output has mean 0 and deviation `gain` on it.

    Args:
        features_in: of the input.
        features: of the output.
        kernel: rows, columns; with 3 columns one lies to the right.
        stride: 2 halves the resolution, rounding up.
        gain: see above.
    """

    begun: Tensor

    def __init__(
        self, features_in: int, features: int, kernel: tuple[int, int] = (1, 1), stride: int = 1, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.gain = kernel, stride, gain
        self.direction = nn.Parameter(0.05 * torch.randn(features, features_in, *kernel))
        self.length = nn.Parameter(torch.full((features,), gain))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("begun", torch.tensor(False))
        self.settled = False  # what `begun` says, without asking the device at every step

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.kernel
        x = pad(x, (columns // 2, columns - 1 - columns // 2, rows - 1, 0))
        if self.training and not self.settled:
            self._settle(x)
        return conv2d(x, self._weight(), self.bias, self.stride)

    def _weight(self) -> Tensor:
        # The function behind torch's own weight norm: one kernel there, one back, for eleven by its formula.
        return torch._weight_norm(self.direction, self.length[:, None, None, None], 0)

    @torch.no_grad()
    def _settle(self, x: Tensor) -> None:
        self.settled = True
        if self.begun:
            return
        out = conv2d(x, self._weight(), None, self.stride).transpose(0, 1).flatten(1)
        # Every process has its own first batch, and all want the same weights. Centred first: E[x^2] - E[x]^2 loses
        # its digits to a large mean.
        mean = mean_over_processes(out.mean(1))
        variance = mean_over_processes((out - mean[:, None]).square().mean(1))
        factor = self.gain / variance.clamp(min=1e-4).sqrt()
        self.length.mul_(factor)
        self.bias.copy_(-mean * factor)
        self.begun.fill_(True)

    def matrix(self) -> tuple[Tensor, Tensor]:
        return self._weight().permute(0, 2, 3, 1).flatten(1), self.bias

    def row_plane(self, x: Tensor) -> RowPlane:
        """Make the input of this convolution, row by row, of a picture of the size of `x` (B, C, H, W)."""
        shape = len(x), x.shape[3], self.direction.shape[1]
        return RowPlane(shape, self.matrix(), self.kernel, x, self.stride)
