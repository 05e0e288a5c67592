"""The layer of a transformer whose tokens see those before them."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

__all__ = ["CausalLayer"]


@final
class CausalLayer(nn.Module):
    """Attention to the tokens up to the own one, then a hidden layer of four times the width for each token alone; both
    residual, the normalisation in front (Vaswani et al. 2017; Radford et al. 2019, Section 2.3).

    Args:
        width: F, features of a token, a multiple of `heads`.
        heads: of the attention.
        dropout: of both residuals, 0..1.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.attend, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm_2, self.widen = nn.LayerNorm(width), nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Transform all tokens at once, (B, T, F) -> (B, T, F)."""
        q, k, v = self.attention(h)
        return self.update(h, scaled_dot_product_attention(q, k, v, is_causal=True))

    def next(self, h: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """Transform the next token alone.

        Args:
            h: the token (B, 1, F).
            seen: keys and values of those before, (2, B, heads, T, F / heads); None for the first.

        Returns:
            what `forward` gives in its place, and keys and values with its own.
        """
        attention = self.attention(h)
        seen = attention[1:] if seen is None else torch.cat([seen, attention[1:]], 3)
        k, v = seen
        return self.update(h, scaled_dot_product_attention(attention[0], k, v)), seen

    def attention(self, h: Tensor) -> Tensor:
        """Compute queries, keys and values, (3, B, heads, T, F / heads)."""
        return self.attend(self.norm(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def update(self, h: Tensor, attended: Tensor) -> Tensor:
        """Put tokens (B, T, F) and the outputs of their attention, (B, heads, T, F / heads), through the rest of the
        layer."""
        h = h + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return h + self.dropout(self.narrow(gelu(self.widen(self.norm_2(h)))))
