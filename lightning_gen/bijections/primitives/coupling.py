"""Coupling layers: one part passes unchanged and decides an elementwise map of the other (Dinh et al. 2015, 2017)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection
from lightning_gen.bijections.primitives.univariate import Univariate
from lightning_gen.context import with_context

__all__ = ["ChannelCoupling", "CheckerboardCoupling", "Conditioner", "VectorCoupling"]

#: called with (channels in, channels out)
Conditioner = Callable[[int, int], nn.Module]


class CheckerboardCoupling(Bijection):
    """Coupling over a checkerboard of pixels (Dinh et al. 2017, Eq. 9 and Figure 3).

    Args:
        channels: C.
        conditioner: called with (C + K, P*C); images in, images of the same size out.
        univariate: the map of an element; it says P.
        odd: which colour of the board passes unchanged.
        context_dim: K; 0: no context.
    """

    def __init__(
        self, channels: int, conditioner: Conditioner, univariate: Univariate, odd: bool, context_dim: int = 0
    ) -> None:
        super().__init__()
        self.net = conditioner(channels + context_dim, univariate.parameters_per_element * channels)
        self.univariate, self.odd = univariate, odd

    def _kept(self, x: Tensor) -> Tensor:
        rows, columns = (torch.arange(n, device=x.device) for n in x.shape[2:])
        return (rows[:, None] + columns + self.odd) % 2 == 1

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept = self._kept(x)
        z, log_det = self.univariate(x, self.net(with_context(x * kept, context)).to(x.dtype))
        return torch.where(kept, x, z), (log_det * ~kept).flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        kept = self._kept(z)
        return torch.where(kept, z, self.univariate.inverse(z, self.net(with_context(z * kept, context)).to(z.dtype)))


class ChannelCoupling(Bijection):
    """Coupling over channels, one half given the other.

    Args:
        channels: C, even.
        conditioner: called with (C/2 + K, P*C/2).
        univariate: the map of an element; it says P.
        swap: which half passes unchanged.
        context_dim: K; 0: no context.
    """

    def __init__(
        self,
        channels: int,
        conditioner: Conditioner,
        univariate: Univariate,
        swap: bool = False,
        context_dim: int = 0,
    ) -> None:
        super().__init__()
        self.net = conditioner(channels // 2 + context_dim, univariate.parameters_per_element * channels // 2)
        self.univariate, self.swap = univariate, swap

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, 1)
        return (b, a) if self.swap else (a, b)

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([b, a] if self.swap else [a, b], 1)

    def _raw(self, a: Tensor, context: Tensor | None) -> Tensor:
        return self.net(with_context(a, context)).to(a.dtype)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        a, b = self._split(x)
        z, log_det = self.univariate(b, self._raw(a, context))
        return self._join(a, z), log_det.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        a, b = self._split(z)
        return self._join(a, self.univariate.inverse(b, self._raw(a, context)))


class VectorCoupling(Bijection):
    """Coupling of vectors (B, D) given a context (B, K): one half of the entries given the others.

    Args:
        dim: D, 2 or more.
        net: called with (entries in, parameters out), gives (entries, context) -> parameters.
        univariate: the map of an element.
        swap: which half passes unchanged.
    """

    def __init__(
        self, dim: int, net: Callable[[int, int], nn.Module], univariate: Univariate, swap: bool = False
    ) -> None:
        super().__init__()
        kept = dim // 2 if not swap else dim - dim // 2
        self.kept, self.swap, self.univariate = kept, swap, univariate
        self.net = net(kept, univariate.parameters_per_element * (dim - kept))

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flip(1) if self.swap else x
        return x[:, : self.kept], x[:, self.kept :]

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        x = torch.cat([a, b], 1)
        return x.flip(1) if self.swap else x

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        a, b = self._split(x)
        z, log_det = self.univariate(b, self.net(a, context).to(b.dtype))
        return self._join(a, z), log_det.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        a, b = self._split(z)
        return self._join(a, self.univariate.inverse(b, self.net(a, context).to(b.dtype)))
