"""Residual flows: z = x + g(x), g a contraction (Behrmann et al. 2019; Chen et al. 2019): every entry moves with all
others at once, like a step of a continuous flow, and the map is undone by a fixed point."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, cast, final

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection, Compose, layer_range
from lightning_gen.bijections.primitives.linear import ActNorm
from lightning_gen.bijections.primitives.roots import with_gradient
from lightning_gen.errors import UserError, check_counts
from lightning_gen.precision import full_precision

__all__ = ["Contraction", "Exact", "LogDeterminant", "Residual", "ResidualFlow", "Roulette"]

#: t (B, M, D) -> J t, for each row's own Jacobian J
Push = Callable[[Tensor], Tensor]


class Contraction(Protocol):
    """g, of x (B, D) and a context (B, K), with a Lipschitz constant below 1, as
    `lightning_gen.nets.flow.lipschitz.LipschitzMLP`."""

    def __call__(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """g(x) (B, D)."""

    def linearised(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Push]:
        """Compute g(x), and the map by its Jacobian."""


def _jacobian(push: Push, x: Tensor) -> Tensor:
    """I + J of every row of x, (B, D, D)."""
    identity = torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
    return (identity + push(identity.expand(len(x), -1, -1))).mT


class LogDeterminant(nn.Module, ABC):
    """log det (I + J)."""

    @abstractmethod
    def forward(self, push: Push, x: Tensor) -> Tensor:
        """Take the map by J, and x (B, D), where J is -> (B,) nats."""


@final
class Exact(LogDeterminant):
    """The determinant of the whole Jacobian: D directions, and D^3 operations."""

    def forward(self, push: Push, x: Tensor) -> Tensor:
        return torch.linalg.slogdet(_jacobian(push, x)).logabsdet


@final
class Roulette(LogDeterminant):
    """In training an estimate without bias: the power series of the logarithm, its traces by one random direction, its
    tail left out at random and weighted up for it (Chen et al. 2019, Eq. 6). In eval mode `Exact`: no evaluation ever
    sees an estimate.

    Args:
        terms: of the series that are always taken, 1 or more.
        go_on: probability of each further term, given the one before; above 0, below 1, 0.5 in the paper. Above the
            square of the net's Lipschitz constant the variance is finite whatever the net.

    Raises:
        UserError: an argument out of range.
    """

    #: why a step with it cannot be captured
    host_work = "draws the length of its series on the CPU"

    def __init__(self, terms: int = 4, go_on: float = 0.5) -> None:
        super().__init__()
        check_counts("log_det", terms=terms)
        if not 0 < go_on < 1:
            raise UserError(f"log_det.go_on is {go_on}: want above 0, below 1")
        self.terms, self.go_on = terms, go_on
        self.exact = Exact()

    def forward(self, push: Push, x: Tensor) -> Tensor:
        if not self.training:
            return self.exact(push, x)
        more = 0
        while torch.rand(()).item() < self.go_on:
            more += 1
        direction = torch.randn_like(x)[:, None]
        total, pushed = x.new_zeros(len(x)), direction
        for k in range(1, self.terms + more + 1):
            pushed = push(pushed)
            weight = (-1) ** (k + 1) / k / self.go_on ** max(0, k - self.terms)
            total = total + weight * (pushed * direction).sum((1, 2))
        return total


@final
class Residual(Bijection):
    """z = x + g(x) for vectors (Chen et al. 2019, Eq. 3). Under autocast, too, g is computed in the precision of x: a
    contraction that is rounded has no fixed point.

    Args:
        net: g, a `Contraction`.
        log_det: how log|det| is found.
    """

    def __init__(self, net: nn.Module, log_det: LogDeterminant) -> None:
        super().__init__()
        self.net, self.log_det = cast(Contraction, net), log_det

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            g, push = self.net.linearised(x, context)
            return x + g, self.log_det(push, x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Iterate x = z - g(x) (Behrmann et al. 2019, Algorithm 1): each step of a row is shorter than the one before,
        until rounding is all that moves it."""
        with full_precision(z):
            with torch.no_grad():
                x, last = z, torch.full_like(z[:, 0], torch.inf)
                moving = torch.ones_like(last, dtype=torch.bool)
                while moving.any():
                    x, before = z - self.net(x, context), x
                    step = (x - before).norm(dim=1)
                    moving, last = moving & (step < last), step

            def newton(x: Tensor) -> Tensor:
                g, push = self.net.linearised(x, context)
                return x - torch.linalg.solve(_jacobian(push, x), x + g - z)

            return with_gradient(x, newton)


@final
class ResidualFlow(Compose):
    """`layers` residual maps of vectors with activation norms around them (Chen et al. 2019).

    Args:
        dim: D.
        context_dim: K; 0: no context.
        net: see `lightning_gen.bijections.residual.Contraction`; called with (D, K).
        log_det: how log|det| is found: `lightning_gen.bijections.residual.Exact`, or `Roulette` for long vectors.
        layers: number of maps, 1 or more.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        net: Callable[[int, int], nn.Module],
        log_det: Callable[[], LogDeterminant] = Exact,
        layers: int = 8,
    ) -> None:
        stack = [(ActNorm(dim), Residual(net(dim, context_dim), log_det())) for _ in layer_range(layers)]
        super().__init__(*(layer for pair in stack for layer in pair), ActNorm(dim))
