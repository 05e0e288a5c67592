"""Noise that makes a density of a discrete image: log P(x) >= E_q [log p(x + u) - log q(u|x)], u in [0, 1) (Ho et al.
2019, Eq. 12)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_gen.bijections.base import Compose
from lightning_gen.bijections.primitives.coupling import CheckerboardCoupling, Conditioner
from lightning_gen.bijections.primitives.univariate import Affine, Univariate
from lightning_gen.distributions.posteriors import gaussian_log_prob
from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec, to_signed

__all__ = ["Dequantization", "Uniform", "Variational"]

#: the largest float32 below 1: a sigmoid may round up to 1, which would be the next level
_BELOW_ONE = 1.0 - 2.0**-24


class Dequantization(nn.Module, ABC):
    """q(u|x).

    Args:
        spec: of the images.
    """

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Draw noise, uint8 (B, C, H, W) -> u in [0, 1) of that shape, a draw with its gradient, and log q(u|x) (B,)
        nats."""


@final
class Uniform(Dequantization):
    """u uniform in [0, 1) (Theis et al. 2016, Section 3.1)."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        u = torch.rand(image.shape, device=image.device)
        return u, u.new_zeros(len(u))


@final
class Variational(Dequantization):
    """u = sigmoid(f(e; x)), e standard normal, f a flow of checkerboard couplings that see the image (Ho et al. 2019,
    Section 3.1).

    Args:
        spec: of the images.
        conditioner: called with (channels in, channels out); makes what the couplings see of the image, and what each
            does.
        features: channels of what they see, 1 or more.
        couplings: number of them, 1 or more.
        univariate: makes the map of an element.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        conditioner: Conditioner,
        features: int = 16,
        couplings: int = 4,
        univariate: Callable[[], Univariate] = Affine,
    ) -> None:
        check_counts("dequantization", features=features, couplings=couplings)
        super().__init__(spec)
        self.look = conditioner(spec.channels, features)
        layers = (
            CheckerboardCoupling(spec.channels, conditioner, univariate(), bool(i % 2), features)
            for i in range(couplings)
        )
        self.flow = Compose(*layers)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.randn(image.shape, device=image.device)
        logit, log_det = self.flow(noise, self.look(to_signed(image, self.spec.levels)))
        log_slope = -(softplus(logit) + softplus(-logit)).flatten(1).sum(1)  # of the sigmoid
        return logit.sigmoid().clamp(max=_BELOW_ONE), gaussian_log_prob(noise.flatten(1)) - log_det - log_slope
