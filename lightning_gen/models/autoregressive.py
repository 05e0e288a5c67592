"""Autoregressive models: p(x) = prod_i p(x_i | x_<i), exact, in raster order, the channels of a pixel one after another
(van den Oord et al. 2016a, Eq. 1 and 2)."""

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor

from lightning_gen.base import Batch, CompletionModule, LikelihoodModule, OptimizerFactory
from lightning_gen.distributions.likelihoods import Categorical, Likelihood
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.nets.causal import CausalNet
from lightning_gen.schedules import Schedule

__all__ = ["Autoregressive"]


@final
class Autoregressive(LikelihoodModule, CompletionModule):
    """A causal network predicts each channel of each pixel from those before it; exact, with no dequantization.

    Args:
        spec: of the images.
        net: called with (spec, parameters per channel).
        optimizer: see `LikelihoodModule`.
        likelihood: of a pixel, called with (spec); it says how many parameters each channel has.
        schedule: see `ImageModule`.
    """

    bound = "exact"

    def __init__(
        self,
        spec: ImageSpec,
        net: Callable[[ImageSpec, tuple[int, ...]], CausalNet],
        optimizer: OptimizerFactory,
        likelihood: Callable[[ImageSpec], Likelihood] = Categorical,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(spec, optimizer, schedule)
        self.likelihood = likelihood(spec)
        self.net = net(spec, self.likelihood.channel_parameters)

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
        uniform = torch.rand(image.shape, generator=generator, device=device).to(self.device)
        signed = to_signed(image, self.spec.levels)
        reader = self.net.reader(signed)
        for row in range(self.spec.height):
            for column in range(self.spec.width):
                here = (..., slice(row, row + 1), slice(column, column + 1))
                for channel in range(self.spec.channels):
                    raw = reader.read(row, column)
                    drawn = self.likelihood.draw(raw, image[here], uniform[here], channel, temperature)
                    level = image[:, channel, row, column]
                    level.copy_(torch.where(known[:, 0, row, column], level, drawn[:, 0, 0]))
                    signed[:, channel, row, column] = to_signed(level, self.spec.levels)
        return image
