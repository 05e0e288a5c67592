"""Losses that pull together what belongs together, and push apart the rest."""

from torch import Tensor

__all__ = ["patch_nce"]


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
