"""Linear bijections with learned parameters: scales per channel or element, and mixing of channels."""

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lightning_gen.bijections.base import Bijection
from lightning_gen.distributed import mean_over_processes
from lightning_gen.errors import UserError
from lightning_gen.precision import full_precision

__all__ = ["ActNorm", "BatchNorm", "InvertibleConv", "NormedConv", "Scaling"]


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


def _per_channel(value: Tensor, x: Tensor) -> Tensor:
    """(C,) -> a shape that goes with x (B, C, ...)."""
    return value.view(-1, *(1,) * (x.ndim - 2))


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of x (B, C, ...), over the batches of all processes; with a gradient."""
    rest = [0, *range(2, x.ndim)]
    # Centred first: E[x^2] - E[x]^2 loses its digits to a large mean.
    mean = mean_over_processes(x.mean(rest))
    return mean, mean_over_processes((x - _per_channel(mean, x)).square().mean(rest))


@final
class ActNorm(Bijection):
    """z = (x + b) exp(s) per channel; the first training batch, of all processes together, sets b and s so that each
    channel of z has mean 0 and deviation 1 (Kingma and Dhariwal 2018, Section 3.1).

    Args:
        channels: C, of (B, C, ...).

    Raises:
        UserError: `inverse` before any data has been seen.
    """

    ready: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        # In the checkpoint: a model that is trained further must not be set anew.
        self.register_buffer("ready", torch.tensor(False))
        # The same, known without a question to the device in every pass.
        self.is_set = False

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.is_set = bool(self.ready)

    @torch.no_grad()
    def prepare(self, x: Tensor) -> None:
        """Let the first training batch decide; nothing afterwards, nor in eval mode."""
        if self.is_set or not self.training:
            return
        mean, variance = _moments(x)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-0.5 * variance.clamp(min=1e-6).log())
        self.ready.fill_(True)
        self.is_set = True

    def check(self) -> None:
        """Raise where no data has been seen."""
        if not self.is_set:
            raise UserError("the flow has seen no data, which sets its activation norms: want a trained one")

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.prepare(x)
        log_det = self.log_scale.sum() * x[0, 0].numel()
        z = (x + _per_channel(self.bias, x)) * _per_channel(self.log_scale.exp(), x)
        return z, log_det.expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        self.check()
        return z * _per_channel((-self.log_scale).exp(), z) - _per_channel(self.bias, z)


@final
class BatchNorm(Bijection):
    """z = (x - m) / sqrt(v + eps) * exp(s) + b per channel (Dinh et al. 2017, Section 3.7; Papamakarios et al. 2017,
    Section 3.4): in training m and v are those of the batch, of all processes together, and afterwards their running
    averages. In training the density of an image depends on its batch.

    Args:
        channels: C, of (B, C, ...).
        momentum: weight of a batch in the averages, above 0, at most 1.
        eps: keeps the root away from 0.

    Raises:
        UserError: `momentum` out of range; `inverse` in training mode, where the batch of x is not known.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        if not 0 < momentum <= 1:
            raise UserError(f"norm.momentum is {momentum}: want above 0, at most 1")
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def _log_scale(self, variance: Tensor) -> Tensor:
        return self.log_scale - 0.5 * (variance + self.eps).log()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = _moments(x)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        log_scale = self._log_scale(variance)
        z = (x - _per_channel(mean, x)) * _per_channel(log_scale.exp(), x) + _per_channel(self.bias, x)
        return z, (log_scale.sum() * x[0, 0].numel()).expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        if self.training:
            raise UserError("batch norm has no inverse in training mode, where it looks at the batch: want eval mode")
        scale = (-self._log_scale(self.variance)).exp()
        return (z - _per_channel(self.bias, z)) * _per_channel(scale, z) + _per_channel(self.mean, z)


def _mix(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """W x + b at each pixel: x (B, C, H, W), weight (C, C), bias (C,) -> (B, C, H, W)."""
    # Not a convolution: CUDA rounds those to TF32 by default, which neither log|det W| nor the inverse would know of.
    # Nor is one faster; with channels last in memory the transpositions move nothing.
    return linear(x.movedim(1, -1), weight, bias).movedim(-1, 1)


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
        """L without its diagonal of ones, and U + diag(s)."""
        return self.lower.tril(-1), self.upper.triu(1) + torch.diag(self.sign * self.log_scale.exp())

    def weight(self) -> Tensor:
        """Compute W (C, C)."""
        lower, upper = self._factors()
        return self.permutation @ torch.addmm(upper, lower, upper)

    def inverse_weight(self) -> Tensor:
        """Compute W^-1 (C, C), from two triangular systems of C columns: cheaper than those of all pixels, which a
        convolution then does."""
        lower, upper = self._factors()
        half = torch.linalg.solve_triangular(lower, self.permutation.mT.contiguous(), upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, half, upper=True)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_det = self.log_scale.sum() * x[0, 0].numel()
        with full_precision(x):
            return _mix(x, self.weight()), log_det.expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        with full_precision(z):
            return _mix(z, self.inverse_weight())


@final
class NormedConv(Bijection):
    """`ActNorm`, then `InvertibleConv`, as one convolution: W (x + b) exp(s) = (W exp(s)) x + W (b exp(s)).

    Args:
        channels: C.

    Raises:
        UserError: `inverse` before any data has been seen.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.conv = ActNorm(channels), InvertibleConv(channels)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        norm = self.norm
        norm.prepare(x)
        log_det = (norm.log_scale + self.conv.log_scale).sum() * x[0, 0].numel()
        with full_precision(x):
            weight = self.conv.weight() * norm.log_scale.exp()
            return _mix(x, weight, weight @ norm.bias), log_det.expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        norm = self.norm
        norm.check()
        with full_precision(z):
            weight = (-norm.log_scale).exp()[:, None] * self.conv.inverse_weight()
            return _mix(z, weight, -norm.bias)
