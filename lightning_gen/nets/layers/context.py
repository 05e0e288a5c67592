"""A context vector as a bias of features."""

from torch import Tensor, nn

__all__ = ["ContextBias"]


class ContextBias(nn.Module):
    """A linear map of the context that is added to features, to every pixel alike: V^T h (van den Oord et al. 2016b,
    Eq. 4).

    Args:
        context: K, 0 where there is none; then the bias is 0, and there are no weights.
        features: F.
    """

    def __init__(self, context: int, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(context, features, bias=False) if context else None

    def forward(self, context: Tensor | None) -> Tensor | float:
        """Map (B, K) to (B, F)."""
        return 0.0 if self.linear is None or context is None else self.linear(context)

    def row(self, context: Tensor | None) -> Tensor | float:
        """Map (B, K) to (B, 1, F), for rows of features."""
        bias = self(context)
        return bias[:, None] if isinstance(bias, Tensor) else bias

    def image(self, context: Tensor | None) -> Tensor | float:
        """Map (B, K) to (B, F, 1, 1), for maps of features."""
        bias = self(context)
        return bias[:, :, None, None] if isinstance(bias, Tensor) else bias
