"""Coupling layers: one part passes unchanged and decides an elementwise map of the other (Dinh et al. 2015, 2017)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection

__all__ = ["ChannelCoupling", "CheckerboardCoupling", "Squeeze", "VectorCoupling"]

Conditioner = Callable[[int, int], nn.Module]


def _affine(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Raw (B, 2D, ...) -> log-scale in (-2, 2), so that no layer can blow up, and shift."""
    log_scale, shift = parameters.chunk(2, 1)
    return 2.0 * torch.tanh(log_scale / 2.0), shift


class CheckerboardCoupling(Bijection):
    """Affine coupling over a checkerboard of pixels: z = b x + (1-b)(x exp(s(bx)) + t(bx)), Dinh et al. 2017, Eq. 9.

    Args:
        channels: C.
        conditioner: called with (C, 2C); images in, images of the same size out.
        odd: which colour of the board passes unchanged.
    """

    def __init__(self, channels: int, conditioner: Conditioner, odd: bool) -> None:
        super().__init__()
        self.net, self.odd = conditioner(channels, 2 * channels), odd

    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = (torch.arange(n, device=x.device) for n in x.shape[2:])
        kept = ((rows[:, None] + columns + self.odd) % 2).to(x.dtype)
        log_scale, shift = _affine(self.net(x * kept))
        return log_scale * (1 - kept), shift * (1 - kept)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._scale_and_shift(x)
        return x * log_scale.exp() + shift, log_scale.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        log_scale, shift = self._scale_and_shift(z)
        return (z - shift) * (-log_scale).exp()


class ChannelCoupling(Bijection):
    """Affine coupling over channels, one half given the other.

    Args:
        channels: C, even.
        conditioner: called with (C/2, C).
        swap: which half passes unchanged.
    """

    def __init__(self, channels: int, conditioner: Conditioner, swap: bool) -> None:
        super().__init__()
        self.net, self.swap = conditioner(channels // 2, channels), swap

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, 1)
        return (b, a) if self.swap else (a, b)

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([b, a] if self.swap else [a, b], 1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        a, b = self._split(x)
        log_scale, shift = _affine(self.net(a))
        return self._join(a, b * log_scale.exp() + shift), log_scale.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        a, b = self._split(z)
        log_scale, shift = _affine(self.net(a))
        return self._join(a, (b - shift) * (-log_scale).exp())


class Squeeze(Bijection):
    """(B, C, H, W) -> (B, 4C, H/2, W/2): each 2x2 block of pixels becomes channels."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return nn.functional.pixel_unshuffle(x, 2), torch.zeros(len(x), device=x.device, dtype=x.dtype)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return nn.functional.pixel_shuffle(z, 2)


class VectorCoupling(Bijection):
    """Affine coupling of vectors (B, D) given a context (B, K): D/2 entries given the others.

    Args:
        dim: D, 2 or more.
        net: (first half, context) -> raw log-scale and shift.
        swap: which half passes unchanged.
    """

    def __init__(self, dim: int, net: Callable[[int, int], nn.Module], swap: bool) -> None:
        super().__init__()
        kept = dim // 2 if not swap else dim - dim // 2
        self.kept, self.swap = kept, swap
        self.net = net(kept, 2 * (dim - kept))

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flip(1) if self.swap else x
        return x[:, : self.kept], x[:, self.kept :]

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        x = torch.cat([a, b], 1)
        return x.flip(1) if self.swap else x

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        a, b = self._split(x)
        log_scale, shift = _affine(self.net(a, context))
        return self._join(a, b * log_scale.exp() + shift), log_scale.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        a, b = self._split(z)
        log_scale, shift = _affine(self.net(a, context))
        return self._join(a, (b - shift) * (-log_scale).exp())
