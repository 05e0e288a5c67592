"""The hierarchical VAE: layers of latent variables from a single position down to a map, each given those above,
posterior and prior sharing the top-down path (Sonderby et al. 2016; Child 2021)."""

import math
from collections.abc import Callable, Hashable
from functools import partial
from typing import final

from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import OptimizerFactory, ReconstructionModule, VariationalModule
from lightning_gen.distributions.likelihoods import Categorical, Likelihood
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.losses.evidence import Beta, EvidenceLoss
from lightning_gen.nets.vae.ladder import Ladder
from lightning_gen.schedules import Schedule

__all__ = ["HierarchicalVAE"]


@final
class HierarchicalVAE(VariationalModule, ReconstructionModule):
    """ELBO = E_q [log p(x|z) + sum_l log p(z_l|z_<l) - log q(z_l|z_<l, x)], one draw of every layer.

    Args:
        spec: of the images.
        net: called with (spec, P); both paths of the hierarchy.
        optimizer: see `LikelihoodModule`.
        likelihood: p(x|z), called with (spec); it says P.
        loss: what is minimised (None: the negative ELBO); a group of latent variables is a layer.
        schedule: see `ImageModule`.
    """

    def __init__(
        self,
        spec: ImageSpec,
        net: Callable[[ImageSpec, int], nn.Module],
        optimizer: OptimizerFactory,
        likelihood: Callable[[ImageSpec], Likelihood] = Categorical,
        loss: EvidenceLoss | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(spec, optimizer, schedule)
        self.loss, self.likelihood = loss or Beta(), likelihood(spec)
        ladder = net(spec, self.likelihood.parameters_per_pixel)
        if not isinstance(ladder, Ladder):
            raise UserError(f"model.net is {type(ladder).__name__}: HierarchicalVAE wants a Ladder")
        self.net = ladder

    def terms(self, image: Tensor, condition: Batch | None = None) -> tuple[Tensor, Tensor]:
        raw, kl = self.net(to_signed(image, self.spec.levels))
        return self.likelihood.log_prob(raw, image).flatten(1).sum(1), kl

    def objective(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        return self.loss(partial(self.terms, image), self.images_seen)

    def settle(self) -> None:
        self.loss.settle(self.images_seen, self.device)

    def step_constants(self) -> Hashable:
        return self.loss.constants(self.images_seen)

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        noise = temperature * self.noise(n, sum(map(math.prod, self.net.shapes)), generator=generator)
        uniform = self.uniform(n, self.likelihood.draws, *self.spec.shape[1:], generator=generator)
        return self.likelihood.sample(self.net.generate(noise), uniform, temperature)

    def reconstruct(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        raw, _ = self.net(to_signed(image, self.spec.levels), 0.0)
        return self.likelihood.mode(raw)
