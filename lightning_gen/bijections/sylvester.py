"""Sylvester flows (van den Berg et al. 2018): planar flows with M units, in M orthonormal directions of the latent
space, all of it amortised. The directions are a class: orthogonal, Householder or none (the triangular variant)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection, Compose, layer_range
from lightning_gen.bijections.primitives.amortised import Amortised
from lightning_gen.bijections.primitives.autoregressive import Reverse
from lightning_gen.bijections.primitives.roots import increasing_root, with_gradient
from lightning_gen.errors import check_counts

__all__ = ["Basis", "Householder", "Orthogonal", "Sylvester", "SylvesterFlow", "Triangular"]


class Basis(nn.Module, ABC):
    """M orthonormal directions of R^D."""

    #: M
    columns: int

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Compute the directions, x (B, D), context (B, K) or None -> Q (B, D, M), its columns orthonormal."""


@final
class Orthogonal(Basis):
    """M <= D directions, any (O-SNF). They come from a QR decomposition, exact to rounding, where the paper iterates
    towards orthogonality.

    Args:
        dim: D.
        context_dim: K; 0: not amortised.
        columns: M, at most D; more are cut to D.
    """

    def __init__(self, dim: int, context_dim: int, columns: int = 8) -> None:
        super().__init__()
        check_counts("basis", columns=columns)
        self.dim, self.columns = dim, min(columns, dim)
        self.parameters_of = Amortised(context_dim, dim * self.columns)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        matrix = self.parameters_of(x, context).unflatten(1, (self.dim, self.columns))
        # A start near the identity keeps the decomposition far from singular, where it has no gradient.
        return torch.linalg.qr(matrix + 2 * torch.eye(self.dim, self.columns, dtype=x.dtype, device=x.device)).Q


@final
class Householder(Basis):
    """All D directions, a product of reflections (H-SNF).

    Args:
        dim: D.
        context_dim: K; 0: not amortised.
        reflections: H, 1 or more.
    """

    def __init__(self, dim: int, context_dim: int, reflections: int = 4) -> None:
        super().__init__()
        check_counts("basis", reflections=reflections)
        self.dim, self.columns, self.reflections = dim, dim, reflections
        self.parameters_of = Amortised(context_dim, dim * reflections)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        axes = self.parameters_of(x, context).unflatten(1, (self.reflections, self.dim, 1))
        q = torch.eye(self.dim, dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
        for v in (axes / (axes.norm(dim=2, keepdim=True) + 1e-12)).unbind(1):
            q = q - 2 * (q @ v) @ v.mT
        return q


@final
class Triangular(Basis):
    """The axes themselves (T-SNF); the stack reverses them from layer to layer.

    Args:
        dim: D.
        context_dim: not looked at.
    """

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.dim, self.columns = dim, dim

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        return torch.eye(self.dim, dtype=x.dtype, device=x.device).expand(len(x), -1, -1)


@final
class Sylvester(Bijection):
    """z = x + Q R tanh(S Q^T x + b), with S for R tilde; R and S are upper triangular, their diagonals in (-1, 1), so
    that |det| = prod_i 1 + tanh'_i S_ii R_ii is above 0. The inverse solves one direction after another.

    Args:
        dim: D.
        context_dim: K; 0: not amortised.
        basis: called with (D, K).
    """

    def __init__(self, dim: int, context_dim: int, basis: Callable[[int, int], Basis] = Orthogonal) -> None:
        super().__init__()
        self.basis = basis(dim, context_dim)
        m = self.basis.columns
        self.sizes = [m * m, m, m, m]
        self.parameters_of = Amortised(context_dim, sum(self.sizes))

    def _arguments(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        square, r, s, b = self.parameters_of(x, context).split(self.sizes, 1)
        square = square.unflatten(1, (self.sizes[1], self.sizes[1]))
        upper = square.triu(1) + torch.diag_embed(r.tanh())
        inner = square.mT.triu(1) + torch.diag_embed(s.tanh())  # the other half of the same matrix
        return self.basis(x, context), upper, inner, b.unsqueeze(2)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, upper, inner, b = self._arguments(x, context)
        h = torch.tanh(inner @ (q.mT @ x.unsqueeze(2)) + b)  # (B, M, 1)
        diagonal = upper.diagonal(dim1=1, dim2=2) * inner.diagonal(dim1=1, dim2=2)
        log_det = (1 + (1 - h.squeeze(2).square()) * diagonal).log().sum(1)
        return x + (q @ (upper @ h)).squeeze(2), log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        q, upper, inner, b = self._arguments(z, context)
        y = q.mT @ z.unsqueeze(2)  # of u = Q^T x: y = u + R tanh(S u + b), (B, M, 1)

        def newton(u: Tensor) -> Tensor:
            h = torch.tanh(inner @ u + b)
            # I + R diag(h') S is upper triangular, its diagonal above 0.
            slope = torch.eye(u.shape[1], dtype=u.dtype, device=u.device) + upper @ ((1 - h.square()) * inner)
            return u - torch.linalg.solve_triangular(slope, u + upper @ h - y, upper=True)

        u = with_gradient(_solved(upper, inner, b, y), newton)
        return z - (q @ (upper @ torch.tanh(inner @ u + b))).squeeze(2)


@torch.no_grad()
def _solved(upper: Tensor, inner: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """u (B, M, 1) with u + R tanh(S u + b) = y, unit by unit from the last, for R and S are upper triangular."""
    u, h = torch.zeros_like(y), torch.zeros_like(y)
    for i in reversed(range(y.shape[1])):
        r, s = upper[:, i, i, None], inner[:, i, i, None]
        shift = b[:, i] + (inner[:, i, i + 1 :, None] * u[:, i + 1 :]).sum(1)
        left = y[:, i] - (upper[:, i, i + 1 :, None] * h[:, i + 1 :]).sum(1)
        u[:, i] = increasing_root(_Unit(r, s, shift, left), left - r.abs(), left + r.abs())
        h[:, i] = torch.tanh(s * u[:, i] + shift)
    return u


class _Unit:
    """u + r tanh(s u + shift) - left, increasing in u as r s > -1."""

    def __init__(self, r: Tensor, s: Tensor, shift: Tensor, left: Tensor) -> None:
        self.r, self.s, self.shift, self.left = r, s, shift, left

    def __call__(self, u: Tensor) -> Tensor:
        return u + self.r * torch.tanh(self.s * u + self.shift) - self.left


@final
class SylvesterFlow(Compose):
    """`layers` Sylvester flows, amortised by the context, the entries reversed between them (van den Berg et al. 2018).

    Args:
        dim: D.
        context_dim: K; 0: not amortised.
        basis: directions of a layer, called with (D, K).
        layers: number of them.
    """

    def __init__(
        self, dim: int, context_dim: int, basis: Callable[[int, int], Basis] = Orthogonal, layers: int = 4
    ) -> None:
        stack = [(Sylvester(dim, context_dim, basis), Reverse()) for _ in layer_range(layers)]
        super().__init__(*(layer for pair in stack for layer in pair))
