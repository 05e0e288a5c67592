"""Linear bijections with learned parameters: scales per channel or element, and mixing of channels."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from lightning_gen.bijections.base import Bijection

__all__ = ["ActNorm", "InvertibleConv", "Scaling"]


@final
class Scaling(Bijection):
    """z = x exp(s) per element of a vector (NICE, Dinh et al. 2015, Section 3.3).

    Args:
        dim: D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x * self.log_scale.exp(), self.log_scale.sum().expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z * (-self.log_scale).exp()


@final
class ActNorm(Bijection):
    """z = (x + b) exp(s) per channel; the first training batch sets b and s so that each channel of z has mean 0 and
    deviation 1 (Kingma and Dhariwal 2018, Section 3.1).

    Args:
        channels: C.
    """

    ready: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        # In the checkpoint: a model that is trained further must not be set anew.
        self.register_buffer("ready", torch.tensor(False))

    @torch.no_grad()
    def _set(self, x: Tensor) -> None:
        moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Each process has its own batch, but the parameters must begin equal.
            torch.distributed.all_reduce(moments)
            moments /= torch.distributed.get_world_size()
        mean, square = moments
        self.bias.copy_(-mean[:, None, None])
        self.log_scale.copy_(-0.5 * (square - mean.square()).clamp(min=1e-6).log()[:, None, None])
        self.ready.fill_(True)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.training and not self.ready:
            self._set(x)
        log_det = self.log_scale.sum() * (x.shape[2] * x.shape[3])
        return (x + self.bias) * self.log_scale.exp(), log_det.expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z * (-self.log_scale).exp() - self.bias


@final
class InvertibleConv(Bijection):
    """1x1 convolution W = P L (U + diag(s)), a random rotation at first, P and the signs of s fixed (Kingma and
    Dhariwal 2018, Eq. 10): log|det| is a sum, and the inverse two triangular systems.

    Args:
        channels: C.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diagonal().sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_scale = nn.Parameter(upper.diagonal().abs().log())

    def _factors(self) -> tuple[Tensor, Tensor]:
        lower = self.lower.tril(-1) + torch.eye(len(self.sign), device=self.sign.device, dtype=self.lower.dtype)
        return lower, self.upper.triu(1) + torch.diag(self.sign * self.log_scale.exp())

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        weight = self.permutation @ lower @ upper
        log_det = self.log_scale.sum() * (x.shape[2] * x.shape[3])
        return conv2d(x, weight[:, :, None, None]), log_det.expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        lower, upper = self._factors()
        flat = self.permutation.mT @ z.flatten(2)
        flat = torch.linalg.solve_triangular(lower, flat, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, flat, upper=True).view_as(z)
