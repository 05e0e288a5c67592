"""The layer of a transformer whose tokens see those before them."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["CausalLayer"]


class CausalLayer(nn.Module, ABC):
    """Attention to the tokens up to the own one, then a network of each token alone; both residual, the normalisation
    in front (Vaswani et al. 2017; Radford et al. 2019, Section 2.3).

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

    @abstractmethod
    def alone(self, h: Tensor) -> Tensor:
        """The network of each token and its normalisation, (B, T, F) -> (B, T, F)."""

    def forward(self, h: Tensor) -> Tensor:
        """All tokens at once, (B, T, F) -> (B, T, F)."""
        q, k, v = self.attention(h)
        return self.update(h, scaled_dot_product_attention(q, k, v, is_causal=True))

    def attention(self, h: Tensor) -> Tensor:
        """Queries, keys and values, (3, B, heads, T, F / heads)."""
        return self.attend(self.norm(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def update(self, h: Tensor, attended: Tensor) -> Tensor:
        """Tokens (B, T, F) and what they found, (B, heads, T, F / heads) -> tokens behind the layer."""
        h = h + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return h + self.dropout(self.alone(h))
