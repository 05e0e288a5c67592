"""A causal transformer over patches: what decides an autoregressive flow over them (Zhai et al. 2025)."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_gen.errors import UserError, check_counts
from lightning_gen.nets.layers.attention import CausalLayer
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["PatchTransformer"]


@final
class PatchTransformer(nn.Module):
    """(B, M, D), the first M of N patches, and a context (B, K) -> (B, M, out), row n a function of patches 1..n-1 and
    the context; zero at start, so that a flow starts as the identity.

    Args:
        patches: N.
        values: D, of a patch.
        context_dim: K; 0: no context.
        out: parameters of a patch.
        width: features of a token, a multiple of `heads`.
        layers: 1 or more.
        heads: 1 or more.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        patches: int,
        values: int,
        context_dim: int,
        out: int,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
    ) -> None:
        check_counts("net", layers=layers, heads=heads)
        if width < 1 or width % heads:
            raise UserError(f"net.width is {width}: want a multiple of {heads} heads")
        super().__init__()
        self.look = nn.Linear(values, width)
        self.place = nn.Parameter(0.02 * torch.randn(patches, width))
        self.context = ContextBias(context_dim, width)
        self.layers = nn.ModuleList(CausalLayer(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, out)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        # Each token is the patch before: the first sees its place alone.
        h = pad(self.look(x[:, :-1]), (0, 0, 1, 0)) + self.place[: x.shape[1]] + self.context.row(context)
        for layer in self.layers:
            h = layer(h)
        return self.head(self.norm(h))

    def decode_sequentially(
        self, rows: int, choose: Callable[[int, Tensor], Tensor], context: Tensor | None = None
    ) -> Tensor:
        """Decode patch by patch, with the keys and values of all earlier ones kept.

        Args:
            rows: B.
            choose: called with n and the parameters (B, 1, out) of patch n; its answer (B, 1, D) is patch n.
            context: (B, K), or None.

        Returns:
            (B, N, D), with a gradient.
        """
        tokens = self.place.expand(rows, -1, -1) + self.context.row(context)
        x: list[Tensor] = []
        seen: list[Tensor | None] = [None] * len(self.layers)
        for n, h in enumerate(tokens.split(1, 1)):
            if x:
                h = h + self.look(x[-1])
            for i, layer in enumerate(self.layers):
                assert isinstance(layer, CausalLayer)
                h, seen[i] = layer.next(h, seen[i])
            x.append(choose(n, self.head(self.norm(h))))
        return torch.cat(x, 1)
