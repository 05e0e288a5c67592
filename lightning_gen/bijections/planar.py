"""Planar flow (Rezende and Mohamed 2015), with parameters that depend on a context."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_gen.bijections.base import Bijection

__all__ = ["Planar"]


class Planar(Bijection):
    """z = x + u tanh(w.x + b), Eq. 10; log|det| = log|1 + u.psi|, Eq. 12; u, w, b are linear in the context.

    Args:
        dim: D.
        context_dim: K, 1 or more: the layer is amortised.
    """

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.parameters_of = nn.Linear(context_dim, 2 * dim + 1)
        self.dim = dim

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, w, b = self.parameters_of(context).split([self.dim, self.dim, 1], 1)
        # Appendix A.1: u is moved along w until w.u >= -1, which makes the map invertible.
        wu = (w * u).sum(1, keepdim=True)
        u = u + (softplus(wu) - 1 - wu) * w / (w.square().sum(1, keepdim=True) + 1e-8)
        h = torch.tanh((w * x).sum(1, keepdim=True) + b)
        log_det = torch.log((1 + (1 - h.square()) * (w * u).sum(1, keepdim=True)).abs() + 1e-8)
        return x + u * h, log_det.squeeze(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        raise NotImplementedError("the planar flow has no inverse in closed form: use it as a posterior")
