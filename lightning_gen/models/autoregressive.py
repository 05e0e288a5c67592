"""Autoregressive models: p(x) = prod_i p(x_i | x_<i), exact, in raster order, the channels of a pixel one after another
(van den Oord et al. 2016a, Eq. 1 and 2)."""

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch, repeat_rows
from lightning_gen.contracts import CompletionModule, LikelihoodModule, OptimizerFactory, Place, SequentialModule
from lightning_gen.distributions.likelihoods import Categorical, Likelihood, pick
from lightning_gen.graphs import Replays
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.inference.particles import Particles
from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec
from lightning_gen.nets.autoregressive.raster import fill_in
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
        uniform = self.uniform(n, *self.spec.shape, generator=generator).flatten(2).unbind(1)
        walk = _Places(self.device)

        def choose(p: Tensor, place: Place) -> Tensor:
            return pick(p, walk.here(uniform[place[0]]), temperature)

        return self._decode(n, choose, condition, walk, capture=True)

    def decode_sequentially(
        self, n: int, choose: Callable[[Tensor, Place], Tensor], condition: Batch | None = None
    ) -> Tensor:
        return self._decode(n, choose, condition, _Places(self.device))

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
        uniform = self.uniform(len(image), *self.spec.shape, generator=generator).flatten(2).unbind(1)
        levels, given, walk = image.flatten(2).unbind(1), known.flatten(1), _Places(self.device)

        def choose(p: Tensor, place: Place) -> Tensor:
            there, level = walk.here(given)[:, 0], walk.here(levels[place[0]])
            log_p = p.gather(1, level.long())[:, 0].clamp(min=1e-300).log()
            weigh(log_p.masked_fill(~there, 0.0))
            return torch.where(there, level[:, 0], pick(p, walk.here(uniform[place[0]])))

        return self._decode(len(image), choose, condition, walk, select, capture=True)

    def _decode(
        self,
        n: int,
        choose: Callable[[Tensor, Place], Tensor],
        condition: Batch | None,
        walk: "_Places",
        select: Callable[[], Tensor | None] = lambda: None,
        capture: bool = False,
    ) -> Tensor:
        """Decode; after each row every image goes on from the image that `select` says, from itself where None.

        Args:
            n: images.
            choose: see `SequentialModule`.
            condition: see `SequentialModule`.
            walk: moved on at each pixel.
            select: see above.
            capture: whether `choose` does the same at every place, on the same memory.
        """
        spec, replays = self.spec, Replays(self.device, capture)
        image = torch.zeros(n, *spec.shape, dtype=torch.uint8, device=self.device)
        pixel, like = image[:, :, :1, :1].clone(), image.to(next(self.parameters()).dtype)
        with torch.inference_mode():  # starts its many small operations sooner than no_grad
            reader = self.net.reader(like, self.condition.vector(condition))
            flat, levels, signed = image.flatten(2), pixel[:, :, 0, 0].unbind(1), reader.pixel.unbind(1)

            def fill(row: int, column: int) -> None:
                for channel, p in enumerate(self.likelihood.pixel_pmfs(reader.read, pixel)):
                    level = choose(p[:, :, 0, 0], (channel, row, column))
                    levels[channel].copy_(level)
                    signed[channel].copy_(to_signed(level, spec.levels))
                flat.index_copy_(2, walk.place, pixel[..., 0])
                walk.advance()

            def after_row() -> None:
                rows = select()
                if rows is not None:
                    image.copy_(image[rows])
                    reader.select(rows)

            fill_in(reader, (spec.height, spec.width), fill, replays, after_row)
        return image


class _Places:
    """The places of an image in raster order, as an index on the device."""

    def __init__(self, device: torch.device) -> None:
        self.place = torch.zeros(1, dtype=torch.long, device=device)

    def here(self, x: Tensor) -> Tensor:
        """Look up the value at the place in work, (B, H * W) -> (B, 1)."""
        return x.index_select(1, self.place)

    def advance(self) -> None:
        """Go to the next place."""
        self.place.add_(1)
