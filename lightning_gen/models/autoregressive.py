"""Autoregressive models: p(x) = prod_i p(x_i | x_<i), exact, in raster order (van den Oord et al. 2016a, Eq. 1)."""

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.base import Batch, CompletionModule, LikelihoodModule, OptimizerFactory
from lightning_gen.distributions.likelihoods import Categorical, Likelihood
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.schedules import Schedule

__all__ = ["Autoregressive"]


@final
class Autoregressive(LikelihoodModule, CompletionModule):
    """A causal network predicts each pixel from those before it; exact, with no dequantization.

    Args:
        spec: of the images; one channel.
        net: called with (spec, P); signed image -> parameters (B, P, H, W) that see only earlier pixels.
        optimizer: see `LikelihoodModule`.
        likelihood: of a pixel, called with (spec); it says P.
        schedule: see `ImageModule`.
    """

    bound = "exact"

    def __init__(
        self,
        spec: ImageSpec,
        net: Callable[[ImageSpec, int], nn.Module],
        optimizer: OptimizerFactory,
        likelihood: Callable[[ImageSpec], Likelihood] = Categorical,
        schedule: Schedule | None = None,
    ) -> None:
        if spec.channels != 1:
            raise UserError(f"data has {spec.channels} channels: Autoregressive wants 1 (grey images)")
        super().__init__(spec, optimizer, schedule)
        self.likelihood = likelihood(spec)
        self.net = net(spec, self.likelihood.parameters_per_pixel)

    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        raw = self.net(to_signed(image, self.spec.levels))
        return self.likelihood.log_prob(raw, image).flatten(1).sum(1)

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        blank = torch.zeros(n, *self.spec.shape, dtype=torch.uint8, device=self.device)
        return self._fill(blank, torch.zeros_like(blank[:, :1], dtype=torch.bool), temperature, generator)

    def complete(self, image: Tensor, known: Tensor, generator: Generator | None = None) -> Tensor:
        """Each missing pixel given all pixels before it: exact where the missing part is the end of the raster."""
        return self._fill(image.clone(), known, 1.0, generator)

    @torch.no_grad()
    def _fill(self, image: Tensor, known: Tensor, temperature: float, generator: Generator | None) -> Tensor:
        device = generator.device if generator is not None else self.device
        shape = (len(image), self.likelihood.draws, *self.spec.shape[1:])
        uniform = torch.rand(shape, generator=generator, device=device).to(self.device)
        for row in range(self.spec.height):
            for column in range(self.spec.width):
                here = (..., slice(row, row + 1), slice(column, column + 1))
                raw = self.net(to_signed(image, self.spec.levels))[here]
                drawn = self.likelihood.sample(raw, uniform[here], temperature)
                image[here] = torch.where(known[here], image[here], drawn)
        return image
