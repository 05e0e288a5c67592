"""Planar and radial flows (Rezende and Mohamed 2015), with parameters that depend on a context."""

from typing import final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lightning_gen.bijections.base import Bijection, Compose, layer_range
from lightning_gen.bijections.primitives.amortised import Amortised
from lightning_gen.bijections.primitives.roots import increasing_root, with_gradient

__all__ = ["Planar", "PlanarFlow", "Radial", "RadialFlow"]


@final
class Planar(Bijection):
    """z = x + u tanh(w.x + b), Eq. 10; log|det| = log|1 + u.psi|, Eq. 12; u, w, b are linear in the context. The
    inverse is a bisection along w.

    Args:
        dim: D.
        context_dim: K; 0: not amortised.
    """

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.parameters_of = Amortised(context_dim, 2 * dim + 1)
        self.dim = dim

    def _arguments(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        u, w, b = self.parameters_of(x, context).split([self.dim, self.dim, 1], 1)
        # Appendix A.1: u is moved along w until w.u >= -1, which makes the map invertible.
        wu = (w * u).sum(1, keepdim=True)
        return u + (softplus(wu) - 1 - wu) * w / (w.square().sum(1, keepdim=True) + 1e-8), w, b

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, w, b = self._arguments(x, context)
        h = torch.tanh((w * x).sum(1, keepdim=True) + b)
        log_det = torch.log((1 + (1 - h.square()) * (w * u).sum(1, keepdim=True)).abs() + 1e-8)
        return x + u * h, log_det.squeeze(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        u, w, b = self._arguments(z, context)
        wu, wz = (w * u).sum(1, keepdim=True), (w * z).sum(1, keepdim=True)
        # w.z = a + w.u tanh(a + b) for a = w.x
        a = increasing_root(lambda a: a + wu * torch.tanh(a + b) - wz, wz - wu.abs(), wz + wu.abs())

        def newton(a: Tensor) -> Tensor:
            h = torch.tanh(a + b)
            return a - (a + wu * h - wz) / (1 + wu * (1 - h.square()))

        return z - u * torch.tanh(with_gradient(a, newton) + b)


@final
class Radial(Bijection):
    """z = x + beta (x - c) / (alpha + r), r = |x - c|, Eq. 14; c, alpha and beta are linear in the context.

    Args:
        dim: D.
        context_dim: K; 0: not amortised.
    """

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.parameters_of = Amortised(context_dim, dim + 2)
        self.dim = dim

    def _arguments(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        centre, alpha, total = self.parameters_of(x, context).split([self.dim, 1, 1], 1)
        alpha = softplus(alpha) + 1e-3
        # Appendix A.2: beta >= -alpha makes the map invertible; `total` is alpha + beta.
        return centre, alpha, softplus(total)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        centre, alpha, total = self._arguments(x, context)
        way = x - centre
        far = alpha + way.norm(dim=1, keepdim=True)
        pull = (total - alpha) / far  # beta h
        across, along = 1 + pull, 1 + pull * alpha / far  # stretch of directions across, and along x - c
        return x + pull * way, ((self.dim - 1) * across.log() + along.log()).squeeze(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        centre, alpha, total = self._arguments(z, context)
        way = z - centre
        length = way.norm(dim=1, keepdim=True)
        # r (r + alpha + beta) = |z - c| (alpha + r): the positive root
        b = total - length
        root = (b.square() + 4 * alpha * length).sqrt()
        # Each form is accurate where the other cancels.
        r = torch.where(b > 0, 2 * alpha * length / (b.abs() + root), (root - b) / 2)
        return centre + way * (alpha + r) / (total + r)


@final
class PlanarFlow(Compose):
    """`layers` planar flows, all amortised by the context (Rezende and Mohamed 2015)."""

    def __init__(self, dim: int, context_dim: int, layers: int = 8) -> None:
        super().__init__(*(Planar(dim, context_dim) for _ in layer_range(layers)))


@final
class RadialFlow(Compose):
    """`layers` radial flows, all amortised by the context (Rezende and Mohamed 2015)."""

    def __init__(self, dim: int, context_dim: int, layers: int = 8) -> None:
        super().__init__(*(Radial(dim, context_dim) for _ in layer_range(layers)))
