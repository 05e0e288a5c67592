"""Autoregressive models: p(x) = prod_i p(x_i | x_<i), exact, in raster order, the channels of a pixel one after another
(van den Oord et al. 2016a, Eq. 1 and 2)."""

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch, repeat_rows
from lightning_gen.contracts import CompletionModule, LikelihoodModule, OptimizerFactory, Place, SequentialModule
from lightning_gen.distributions.likelihoods import Categorical, Likelihood, pick
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.inference.particles import Particles
from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec
from lightning_gen.nets.autoregressive.receptive_field import say_receptive_field
from lightning_gen.nets.condition import Condition, Unconditional, check_vector_only
from lightning_gen.schedules import Schedule

__all__ = ["Autoregressive"]

#: attempts at each image where the missing part is not the end of the raster
_PARTICLES = 64


@final
class Autoregressive(LikelihoodModule, CompletionModule, SequentialModule):
    """A causal network predicts each channel of each pixel from those before it; exact, with no dequantization.

    Args:
        spec: of the images.
        net: called with what it is built for.
        optimizer: see `LikelihoodModule`.
        likelihood: of a pixel, called with (spec); it says how many parameters each channel has.
        condition: what the images are conditioned on, called with (spec).
        schedule: see `ImageModule`.
    """

    bound = "exact"

    def __init__(
        self,
        spec: ImageSpec,
        net: Callable[[CausalSpec], CausalNet],
        optimizer: OptimizerFactory,
        likelihood: Callable[[ImageSpec], Likelihood] = Categorical,
        condition: Callable[[ImageSpec], Condition] = Unconditional,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(spec, optimizer, schedule)
        self.likelihood = likelihood(spec)
        self.condition = condition(spec)
        check_vector_only(self.condition, type(self).__name__)
        self.net = net(CausalSpec(spec, self.likelihood.channel_parameters, self.condition.features))

    @property
    def condition_keys(self) -> tuple[str, ...]:
        return self.condition.keys

    def on_fit_start(self) -> None:
        say_receptive_field(self.trainer.is_global_zero, self.net, self.spec, self.condition.features)

    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        raw = self.net(to_signed(image, self.spec.levels), self.condition.vector(condition))
        return self.likelihood.log_prob(raw, image).flatten(1).sum(1)

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        condition = self.condition.rows(condition, n, generator)
        uniform = self.uniform(n, 1, *self.spec.shape, generator=generator)
        return self.decode_sequentially(n, lambda p, place: pick(p, uniform[:, :, *place], temperature), condition)

    def decode_sequentially(
        self, n: int, choose: Callable[[Tensor, Place], Tensor], condition: Batch | None = None
    ) -> Tensor:
        return self._decode(n, choose, condition, lambda: None)

    def completes_exactly(self, known: Tensor) -> bool:
        """Answer yes where nothing is known after the first missing pixel."""
        flat = known.flatten(1).int()
        return bool((flat.diff(dim=1) <= 0).all())

    def complete(
        self, image: Tensor, known: Tensor, condition: Batch | None = None, generator: Generator | None = None
    ) -> Tensor:
        """Draw each missing pixel given all pixels before it. Where known ones follow, that alone would not look at
        them: there many attempts are weighed by the known pixels, row by row (`Particles`), which is approximate."""
        condition = self.condition.rows(condition, len(image), generator)
        if self.completes_exactly(known):
            return self._attempt(image, known, condition, generator, lambda log_p: None, lambda: None)
        several = Particles(len(image), _PARTICLES, generator, self.device)
        copies = None if condition is None else repeat_rows(condition, _PARTICLES)
        image, known = (x.repeat_interleave(_PARTICLES, 0) for x in (image, known))
        return self._attempt(image, known, copies, generator, several.weigh, several.resample)[several.draw()]

    def _attempt(
        self,
        image: Tensor,
        known: Tensor,
        condition: Batch | None,
        generator: Generator | None,
        weigh: Callable[[Tensor], None],
        select: Callable[[], Tensor | None],
    ) -> Tensor:
        """Fill in the missing pixels; `weigh` is called with the log-probability of every known one, 0 where none
        is."""
        uniform = self.uniform(len(image), 1, *self.spec.shape, generator=generator)

        def choose(p: Tensor, place: Place) -> Tensor:
            given, level = known[:, 0, *place[1:]], image[:, *place]
            weigh(torch.where(given, p.gather(1, level.long()[:, None])[:, 0].clamp(min=1e-300).log(), 0.0))
            return torch.where(given, level, pick(p, uniform[:, :, *place]))

        return self._decode(len(image), choose, condition, select)

    def _decode(
        self,
        n: int,
        choose: Callable[[Tensor, Place], Tensor],
        condition: Batch | None,
        select: Callable[[], Tensor | None],
    ) -> Tensor:
        """Decode; after each row every image goes on from the image that `select` says, from itself where None."""
        image = torch.zeros(n, *self.spec.shape, dtype=torch.uint8, device=self.device)
        signed = to_signed(image, self.spec.levels).to(next(self.parameters()).dtype)
        with torch.inference_mode():  # starts its many small operations sooner than no_grad
            reader = self.net.reader(signed, self.condition.vector(condition))
            for row in range(self.spec.height):
                for column in range(self.spec.width):
                    pixel = image[:, :, row : row + 1, column : column + 1]
                    for channel in range(self.spec.channels):
                        p = self.likelihood.pmf(reader.read(row, column), pixel, channel)[:, :, 0, 0]
                        level = choose(p, (channel, row, column))
                        image[:, channel, row, column] = level
                        signed[:, channel, row, column] = to_signed(level, self.spec.levels)
                rows = select()
                if rows is not None:
                    image.copy_(image[rows])
                    signed.copy_(signed[rows])
                    reader.select(rows)
        return image
