"""The normalizing flow: exact density of the dequantized image (Dinh et al. 2017; Theis et al. 2016, Section 3.1; Ho et
al. 2019)."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.bijections.base import Bijection
from lightning_gen.contracts import CompletionModule, LatentModule, LikelihoodModule, NoiseModule, OptimizerFactory
from lightning_gen.distributions.dequantize import Dequantization, Uniform
from lightning_gen.distributions.posteriors import gaussian_log_prob
from lightning_gen.images import ImageSpec, from_unit, to_unit
from lightning_gen.inference.langevin import langevin
from lightning_gen.nets.condition import Condition, Unconditional, check_vector_only
from lightning_gen.schedules import Schedule

__all__ = ["Flow"]


@final
class Flow(LikelihoodModule, LatentModule, NoiseModule, CompletionModule):
    """x + u -> z ~ N(0, I): log P(x) >= E_u [log p(x + u) - log q(u|x)], p by the change of variables.

    Args:
        spec: of the images.
        bijection: of images (B, C, H, W) to vectors (B, C*H*W), called with (spec, length of the context).
        optimizer: see `LikelihoodModule`.
        condition: what the images are conditioned on, called with (spec).
        dequantization: q(u|x), called with (spec).
        schedule: see `ImageModule`.
    """

    bound = "dequantized"

    def __init__(
        self,
        spec: ImageSpec,
        bijection: Callable[[ImageSpec, int], Bijection],
        optimizer: OptimizerFactory,
        condition: Callable[[ImageSpec], Condition] = Unconditional,
        dequantization: Callable[[ImageSpec], Dequantization] = Uniform,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(spec, optimizer, schedule)
        self.condition, self.latent_dim = condition(spec), spec.dims
        check_vector_only(self.condition, type(self).__name__)
        self.dequantization = dequantization(spec)
        self.bijection = bijection(spec, self.condition.features)

    @property
    def condition_keys(self) -> tuple[str, ...]:
        return self.condition.keys

    def density(self, x: Tensor, condition: Batch | None = None) -> Tensor:
        """Compute the density, unit image (B, C, H, W) in [0, 1) -> (B,) nats, the log density of the level-scaled
        image."""
        z, log_det = self.bijection(x, self.condition.vector(condition))
        return gaussian_log_prob(z) + log_det - self.spec.dims * math.log(self.spec.levels)

    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        noise, log_q = self.dequantization(image)
        return self.density(to_unit(image, self.spec.levels, noise), condition) - log_q

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        z = temperature * self.noise(n, self.spec.dims, generator=generator)
        return self.decode(z, self.condition.rows(condition, n, generator))

    def encode(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        return self.bijection(to_unit(image, self.spec.levels), self.condition.vector(condition))[0]

    def decode(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        return from_unit(self.bijection.inverse(z, self.condition.vector(condition)), self.spec.levels)

    def generate(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        return self.decode(z, condition)

    def draw_condition(self, n: int, generator: Generator | None = None) -> Batch | None:
        return self.condition.rows(None, n, generator)

    def complete(
        self, image: Tensor, known: Tensor, condition: Batch | None = None, generator: Generator | None = None
    ) -> Tensor:
        """Complete by steps in latent space (see `langevin`), the known pixels foreseen up to the width of a level, or
        1/32."""
        condition, levels = self.condition.rows(condition, len(image), generator), self.spec.levels
        context = self.condition.vector(condition)
        guess = torch.randint(levels, image.shape, generator=generator, dtype=torch.uint8).to(image)
        begin = self.encode(torch.where(known, image, guess), condition)
        begin = begin * (begin.shape[1] ** 0.5 / begin.norm(dim=1, keepdim=True)).clamp(max=1.0)  # a likely radius
        z = langevin(
            lambda z: self.bijection.inverse(z, context),
            begin.detach(),
            to_unit(image, levels),
            known,
            max(1 / levels, 1 / 32),
            generator=generator,
        )
        return torch.where(known, image, self.decode(z, condition))

    def completes_exactly(self, known: Tensor) -> bool:
        return False
