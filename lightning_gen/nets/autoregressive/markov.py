"""The Markov chain: each pixel given its place, the pixel before it and the context, and nothing else."""

from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec, Reader, WholeImageReader

__all__ = ["MarkovChain"]


@final
class MarkovChain(CausalNet):
    """A table of logits for each place of the raster, level of the pixel before and entry of the context, which are
    added up by the values of the context: with a one-hot context every cell is a distribution of its own. Pixels have
    one channel.

    Args:
        spec: what the network is built for.

    Raises:
        UserError: the images have more than one channel.
    """

    def __init__(self, spec: CausalSpec) -> None:
        super().__init__()
        image = spec.image
        if image.channels != 1:
            raise UserError(f"data has {image.channels} channels: net MarkovChain wants 1")
        self.spec = spec
        # Level `levels` stands for "before the first pixel".
        self.table = nn.Parameter(
            torch.zeros(image.height * image.width, image.levels + 1, max(1, spec.context), spec.parameters)
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        levels = self.spec.image.levels
        level = (x.flatten(1) + 1) * ((levels - 1) / 2)  # (B, H*W), whole numbers but for rounding
        # One-hot at a level, and linear between two, so that what a pixel sees can be read off gradients.
        near = (1 - (level[..., None] - torch.arange(levels + 1, device=x.device)).abs()).clamp(min=0)
        first = torch.zeros_like(near[:, :1])
        first[..., levels] = 1.0
        before = torch.cat([first, near[:, :-1]], 1)  # (B, H*W, L + 1)
        weights = x.new_ones(len(x), 1) if context is None else context.to(x.dtype)
        logits = torch.einsum("bnl,nlkp,bk->bpn", before, self.table, weights)
        return logits.unflatten(2, x.shape[2:])

    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        return WholeImageReader(self, x, context)
