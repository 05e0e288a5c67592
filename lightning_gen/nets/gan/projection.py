"""The head of CUT that compares patches of two pictures (Park et al. 2020, Section 3)."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lightning_gen.errors import check_counts

__all__ = ["PatchProjection"]


@final
class PatchProjection(nn.Module):
    """Vectors of length 1 of some places of each feature, by a network of two layers for each feature.

    Args:
        channels: of each feature.
        width: of the hidden layers and of the vectors.
    """

    def __init__(self, channels: Sequence[int], width: int = 256) -> None:
        super().__init__()
        check_counts("projection", width=width)
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(into, width), nn.ReLU(), nn.Linear(width, width)) for into in channels
        ).apply(_init)

    @staticmethod
    def places(features: Sequence[Tensor], count: int) -> list[Tensor]:
        """Draw `count` places of each feature without replacement, int64 (P,) each; all where it has no more."""
        return [
            torch.rand(x.shape[2] * x.shape[3], device=x.device).topk(min(count, x.shape[2] * x.shape[3])).indices
            for x in features
        ]

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Features (B, K, h, w) and `places` (P,) of each -> vectors (B, P, width) of each."""
        return [
            normalize(net(x.flatten(2)[:, :, place].transpose(1, 2)), dim=2)
            for net, x, place in zip(self.nets, features, places, strict=True)
        ]


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight, 0.02)
        nn.init.zeros_(module.bias)
