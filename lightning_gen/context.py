"""A context: what a network or a map is conditioned on, a vector per image or one per pixel."""

import torch
from torch import Tensor

__all__ = ["with_context"]


def with_context(x: Tensor, context: Tensor | None) -> Tensor:
    """Put a context behind the features of x.

    Args:
        x: (B, D) or (B, C, H, W).
        context: (B, K), for images the same at every pixel, or (B, K, H, W); None: nothing is added.

    Returns:
        (B, D + K) or (B, C + K, H, W), of the precision of x.
    """
    if context is None:
        return x
    if x.ndim == 4 and context.ndim == 2:
        context = context[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, context.to(x.dtype)], 1)
