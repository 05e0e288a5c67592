"""Losses that pull together what belongs together, and push apart the rest."""

import torch
from torch import Tensor

__all__ = ["patch_nce", "text_image_nce"]


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """-log( exp(q_i . k_i / t) / sum_j exp(q_i . k_j / t) ), mean over places i and pictures (Park et al. 2020, Eq. 3):
    a place of the output shall be nearer to the same place of the source than to other places of it.

    Args:
        query: of the outputs, (B, P, K), of length 1.
        key: of their sources, the same shape; no gradient reaches it.
        temperature: t, above 0.

    Returns:
        scalar in nats, log P where nothing is told apart.
    """
    logits = query @ key.detach().transpose(1, 2) / temperature  # (B, P, P)
    return (logits.logsumexp(2) - logits.diagonal(dim1=1, dim2=2)).mean()


def text_image_nce(picture: Tensor, text: Tensor, same: Tensor, gamma: float = 10.0) -> Tensor:
    """Mean of both directions of -log( exp(gamma p_i . t_i) / sum_j exp(gamma p_i . t_j) ), the sentence part of the
    loss of Xu et al. 2018 (AttnGAN, Eq. 10-11). Pairs whose texts are equal do not count as wrong.

    Args:
        picture: vectors of length 1, (B, K).
        text: the same of their captions.
        same: bool (B, B), True where two captions are equal.
        gamma: above 0.

    Returns:
        scalar in nats, at most log B where nothing is told apart.
    """
    logits = gamma * picture @ text.T  # (B, B)
    others = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    logits = logits.masked_fill(others, float("-inf"))
    right = logits.diagonal()
    return 0.5 * ((logits.logsumexp(1) - right).mean() + (logits.logsumexp(0) - right).mean())
