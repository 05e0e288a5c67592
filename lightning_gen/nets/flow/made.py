"""Masked autoencoder for distribution estimation: output i sees inputs 1..i-1 alone (Germain et al. 2015)."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lightning_gen.errors import check_counts
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["MADE"]


class _MaskedLinear(nn.Linear):
    """A linear layer without the weights where `mask` (out, in) is False."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight * self.mask, self.bias)


@final
class MADE(nn.Module):
    """x (B, D), context (B, K) -> (B, P*D): parameter p of entry i stands at p*D + i and sees x_1..x_(i-1) and all
    of the context; zero at start, so that a flow starts as the identity.

    Args:
        dim: D.
        context_dim: K, 0 without a context.
        out: P*D.
        width: of the hidden layers.
        layers: hidden layers, 1 or more.

    Raises:
        UserError: an argument out of range.
    """

    order: Tensor

    def __init__(self, dim: int, context_dim: int, out: int, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        check_counts("net", width=width, layers=layers)
        entries = torch.arange(dim)
        degrees = torch.arange(width) % max(dim - 1, 1)  # a hidden unit of degree m sees entries 0..m
        self.register_buffer("order", degrees.argsort(stable=True), persistent=False)
        #: how many hidden units see entries 0..m at most
        self.known = degrees.bincount(minlength=dim).cumsum(0).tolist()
        self.first = _MaskedLinear(degrees[:, None] >= entries)
        self.inner = nn.ModuleList(_MaskedLinear(degrees[:, None] >= degrees) for _ in range(layers - 1))
        self.head = _MaskedLinear(entries.repeat(out // dim)[:, None] > degrees)
        # The context has no order, and must reach entry 0, which no hidden unit may serve.
        self.context, self.shift = ContextBias(context_dim, width), ContextBias(context_dim, out)
        for p in (*self.head.parameters(), *self.shift.parameters()):
            nn.init.zeros_(p)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.first(x) + self.context(context)
        for layer in self.inner:
            h = layer(h.relu())
        return self.head(h.relu()) + self.shift(context)

    def decode_sequentially(
        self, rows: int, choose: Callable[[int, Tensor], Tensor], context: Tensor | None = None
    ) -> Tensor:
        """Decode entry by entry, each weight used once, so for the price of one pass: once entry i is known, so are the
        hidden units that see no more.

        Args:
            rows: B.
            choose: called with i and the parameters (B, P) of entry i; its answer (B, 1) is entry i.
            context: (B, K), or None.

        Returns:
            (B, D), with a gradient.
        """
        weights, shift = _Sorted(self, context), self.shift(context)
        head = self.head.weight[:, self.order].unflatten(0, (-1, len(self.known)))  # (P, D, width)
        bias = self.head.bias.unflatten(0, (-1, len(self.known)))
        shifts = shift.unflatten(1, (-1, len(self.known))) if isinstance(shift, Tensor) else None
        x, known = self.first.weight.new_zeros(rows, 0), 0
        units = [x for _ in range(len(self.inner) + 1)]
        for i, known_then in enumerate(self.known):
            raw = linear(units[-1], head[:, i, :known], bias[:, i])
            x = torch.cat([x, choose(i, raw if shifts is None else raw + shifts[:, :, i])], 1)
            if known_then > known:
                weights.append(x, units, slice(known, known_then))
                known = known_then
        return x


class _Sorted:
    """The layers of a `MADE`, their units in the order in which they become known."""

    def __init__(self, net: MADE, context: Tensor | None) -> None:
        order, hidden = net.order, net.context(context)
        self.first, self.first_bias = net.first.weight[order], net.first.bias[order]
        layers: list[_MaskedLinear] = list(net.inner)  # type: ignore[arg-type]
        self.inner = [(layer.weight[order][:, order], layer.bias[order]) for layer in layers]
        self.hidden = hidden[:, order] if isinstance(hidden, Tensor) else None

    def append(self, x: Tensor, units: list[Tensor], new: slice) -> None:
        """Work out the units `new` of every layer from the entries x (B, i) so far, and put them behind those known."""
        h = linear(x, self.first[new, : x.shape[1]], self.first_bias[new])
        if self.hidden is not None:
            h = h + self.hidden[:, new]
        for n, (weight, bias) in enumerate(self.inner):
            units[n] = torch.cat([units[n], h.relu()], 1)
            h = linear(units[n], weight[new, : new.stop], bias[new])
        units[-1] = torch.cat([units[-1], h.relu()], 1)
