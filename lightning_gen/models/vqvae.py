"""The VQ-VAE (van den Oord et al. 2017): an image is coded as a grid of indices of learned vectors, and the prior of
the grid is
an autoregressive network."""

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import OptimizerFactory, ReconstructionModule, VariationalModule
from lightning_gen.distributions.likelihoods import Categorical, Likelihood
from lightning_gen.errors import UserError, check_counts
from lightning_gen.graphs import Replays
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec
from lightning_gen.nets.autoregressive.raster import fill_in
from lightning_gen.nets.autoregressive.receptive_field import say_receptive_field
from lightning_gen.nets.condition import Condition, Unconditional, check_vector_only
from lightning_gen.nets.vae.codebook import Codebook, GridEncoder
from lightning_gen.schedules import Schedule

__all__ = ["VQVAE"]


@final
class VQVAE(VariationalModule, ReconstructionModule):
    """log p(x) >= log p(x|z) + log p(z), z the grid of the image: q(z|x) is deterministic, so its entropy is 0. The
    prior
    learns beside the rest and sends no gradient through the codes, so one training gives the whole model.

    Args:
        spec: of the images.
        encoder: called with (spec, D).
        decoder: called with (spec, D, P); gives the parameters (B, P, H, W) of the likelihood.
        prior: p(z), called with what it is built for. It is shown the vectors of the grid, not their numbers, which
            have no order; they are one value of a position.
        optimizer: see `LikelihoodModule`.
        likelihood: p(x|z), called with (spec); it says P.
        condition: of the prior, called with (spec).
        codes: K, vectors to choose from, 2 to 256.
        dim: D, length of each.
        commitment: beta of Eq. 3, above 0.
        schedule: see `ImageModule`.
    """

    def __init__(
        self,
        spec: ImageSpec,
        encoder: Callable[[ImageSpec, int], GridEncoder],
        decoder: Callable[[ImageSpec, int, int], nn.Module],
        prior: Callable[[CausalSpec], CausalNet],
        optimizer: OptimizerFactory,
        likelihood: Callable[[ImageSpec], Likelihood] = Categorical,
        condition: Callable[[ImageSpec], Condition] = Unconditional,
        codes: int = 64,
        dim: int = 16,
        commitment: float = 0.25,
        schedule: Schedule | None = None,
    ) -> None:
        check_counts("model", dim=dim)
        if commitment <= 0:
            raise UserError(f"model.commitment is {commitment}: want more than 0")
        super().__init__(spec, optimizer, schedule)
        self.likelihood, self.commitment = likelihood(spec), commitment
        self.encoder = encoder(spec, dim)
        self.decoder = decoder(spec, dim, self.likelihood.parameters_per_pixel)
        self.codebook, self.condition = Codebook(codes, dim), condition(spec)
        check_vector_only(self.condition, type(self).__name__)
        self.grid = ImageSpec(1, *self.encoder.size, codes)
        self.code_likelihood = Categorical(self.grid)
        self.shown = ImageSpec(dim, *self.encoder.size, codes)
        self.prior = prior(CausalSpec(self.shown, self.code_likelihood.channel_parameters, self.condition.features))

    @property
    def condition_keys(self) -> tuple[str, ...]:
        return self.condition.keys

    def on_fit_start(self) -> None:
        say_receptive_field(self.trainer.is_global_zero, self.prior, self.shown, self.condition.features)

    def _rate(self, index: Tensor, condition: Batch | None) -> Tensor:
        """(B, h, w) -> -log p(z), nats (B, 1)."""
        raw = self.prior(self.codebook.look_up(index).detach(), self.condition.vector(condition))
        grid = index[:, None].to(torch.uint8)
        return -self.code_likelihood.log_prob(raw, grid).flatten(1).sum(1, keepdim=True)

    def _distortion(self, z: Tensor, image: Tensor) -> Tensor:
        return -self.likelihood.log_prob(self.decoder(z), image).flatten(1).sum(1)

    def terms(self, image: Tensor, condition: Batch | None = None) -> tuple[Tensor, Tensor]:
        index = self.codebook(self.encoder(to_signed(image, self.spec.levels)))
        return -self._distortion(self.codebook.look_up(index), image), self._rate(index, condition)

    def objective(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """Compute Eq. 3: reconstruction through the straight-through estimator, the codebook's and the encoder's way to
        each other; and the prior's negative log-likelihood."""
        z = self.encoder(to_signed(image, self.spec.levels))
        index = self.codebook(z)
        nearest = self.codebook.look_up(index)
        distortion = self._distortion(z + (nearest - z).detach(), image)
        apart = (nearest - z.detach()).square() + self.commitment * (z - nearest.detach()).square()
        return distortion + apart.flatten(1).sum(1) + self._rate(index, condition)[:, 0]

    @torch.no_grad()
    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        context = self.condition.vector(self.condition.rows(condition, n, generator))
        grid = torch.zeros(n, *self.grid.shape, dtype=torch.uint8, device=self.device)
        uniform = self.uniform(*grid.shape, generator=generator).flatten(2)
        code, time = grid[:, :, :1, :1].clone(), torch.zeros(1, dtype=torch.long, device=self.device)
        reader = self.prior.reader(self.codebook.look_up(grid[:, 0]), context)

        def fill(row: int, column: int) -> None:
            chance = uniform.index_select(2, time)[..., None]
            code.copy_(self.code_likelihood.sample(reader.read(), chance, temperature))
            reader.pixel.copy_(self.codebook.look_up(code[:, 0])[:, :, 0, 0])
            grid.flatten(2).index_copy_(2, time, code[..., 0])
            time.add_(1)

        fill_in(reader, (self.grid.height, self.grid.width), fill, Replays(self.device))
        shown = self.codebook.look_up(grid[:, 0])
        raw = self.decoder(shown)
        shape = (n, self.likelihood.draws, *self.spec.shape[1:])
        return self.likelihood.sample(raw, self.uniform(*shape, generator=generator), temperature)

    def reconstruct(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        index = self.codebook(self.encoder(to_signed(image, self.spec.levels)))
        return self.likelihood.mode(self.decoder(self.codebook.look_up(index)))
