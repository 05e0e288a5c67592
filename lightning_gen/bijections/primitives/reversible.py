"""Training in memory that does not grow with depth: what a bijection took in can be had from what it gave out (Gomez et
al. 2017, Algorithm 1)."""

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lightning_gen.bijections.base import Bijection, Compose
from lightning_gen.bijections.primitives.linear import BatchNorm
from lightning_gen.errors import UserError

__all__ = ["Reversible", "Stored"]


@final
class Stored(Compose):
    """The bijections one after the other; every activation is kept for the backward pass.

    Args:
        bijections: in order.
    """

    def __init__(self, bijections: list[Bijection]) -> None:
        super().__init__(*bijections)


@final
class Reversible(Compose):
    """The bijections one after the other; only the output is kept, and the backward pass takes each inverse to find its
    input again: the same gradients but for rounding, for an inverse and a forward pass more.

    Args:
        bijections: in order, without anything that another pass would do differently.

    Raises:
        UserError: one of them has dropout or batch norm.
    """

    def __init__(self, bijections: list[Bijection]) -> None:
        super().__init__(*bijections)
        for module in self.modules():
            if isinstance(module, BatchNorm) or (isinstance(module, nn.Dropout) and module.p):
                raise UserError(
                    f"chain Reversible holds {type(module).__name__}: want none, a second pass would differ"
                )

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if not torch.is_grad_enabled():
            return super().forward(x, context)
        return _Recomputed.apply(self, x, context, *self.parameters())


class _Recomputed(torch.autograd.Function):
    """The parameters are arguments, so that their gradients go where all others go, through the hooks of DDP too."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, chain: Reversible, x: Tensor, context: Tensor | None, *parameters: nn.Parameter
    ) -> tuple[Tensor, Tensor]:
        device = x.device.type
        ctx.autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        ctx.chain, ctx.parameters = chain, parameters
        z, log_det = Compose.forward(chain, x, context)
        ctx.save_for_backward(z, context)
        return z, log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_z: Tensor, to_log_det: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        z, context = ctx.saved_tensors
        to: dict[Tensor, Tensor] = {}
        if context is not None:
            context = context.detach().requires_grad_()
        with torch.autocast(*ctx.autocast):
            for bijection in reversed(ctx.chain.bijections):
                z, to_z = _back(bijection, z, context, to_z, to_log_det, to)
        return None, to_z, to.get(context) if context is not None else None, *(to.get(p) for p in ctx.parameters)


def _back(
    bijection: Bijection,
    z: Tensor,
    context: Tensor | None,
    to_z: Tensor,
    to_log_det: Tensor,
    to: dict[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Output and its gradient -> input and its gradient; those of context and parameters are added up in `to`."""
    with torch.no_grad():
        x = bijection.inverse(z, context)
    x.requires_grad_()
    wanted: list[Tensor] = [p for p in bijection.parameters() if p.requires_grad]
    wanted += [context] if context is not None else []
    with torch.enable_grad():
        again, log_det = bijection(x, context)
        # One sum, as a log-determinant without a gradient could not be an output of its own.
        total = (again * to_z).sum() + (log_det * to_log_det).sum()
    to_x, *found = torch.autograd.grad(total, [x, *wanted], allow_unused=True)
    for tensor, gradient in zip(wanted, found, strict=True):
        if gradient is not None:
            to[tensor] = gradient + to[tensor] if tensor in to else gradient
    return x.detach(), to_x
