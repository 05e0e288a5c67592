"""The variational autoencoder (Kingma and Welling 2014), and the VAE+NF hybrid by its posterior (Rezende and Mohamed
2015): the flow's parameters come from the encoder, image by image."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import final

from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.context import with_context
from lightning_gen.contracts import BitsBackModule, OptimizerFactory, StochasticLatentModule, VariationalModule
from lightning_gen.distributions.likelihoods import Categorical, Likelihood
from lightning_gen.distributions.posteriors import GaussianPosterior, Posterior
from lightning_gen.distributions.priors import Prior, Recognition, StandardNormal
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.losses.evidence import Beta, EvidenceLoss
from lightning_gen.nets.condition import Condition, Unconditional, check_vector_only
from lightning_gen.nets.vae.convolutional import Encoder
from lightning_gen.schedules import Schedule

__all__ = ["VAE"]


@final
class VAE(VariationalModule, StochasticLatentModule, BitsBackModule):
    """ELBO = E_q [log p(x|z) + log p(z) - log q(z|x)], one sample of z; with a condition y, of p(x|z, y), p(z|y) and
    q(z|x, y) (Sohn et al. 2015, Eq. 4).

    Args:
        spec: of the images.
        encoder: called with (spec).
        decoder: called with (spec, latent_dim + K, P); gives the parameters (B, P, H, W) of the likelihood.
        posterior: called with (features + K, latent_dim).
        optimizer: see `LikelihoodModule`.
        likelihood: p(x|z), called with (spec); it says P.
        prior: p(z), called with (recognition).
        condition: y as a vector of length K, called with (spec).
        loss: what is minimised (None: the negative ELBO).
        latent_dim: Z, 1 or more.
        schedule: see `ImageModule`.
    """

    def __init__(
        self,
        spec: ImageSpec,
        encoder: Callable[[ImageSpec], Encoder],
        decoder: Callable[[ImageSpec, int, int], nn.Module],
        posterior: Callable[[int, int], Posterior],
        optimizer: OptimizerFactory,
        likelihood: Callable[[ImageSpec], Likelihood] = Categorical,
        prior: Callable[[Recognition], Prior] = StandardNormal,
        condition: Callable[[ImageSpec], Condition] = Unconditional,
        loss: EvidenceLoss | None = None,
        latent_dim: int = 16,
        schedule: Schedule | None = None,
    ) -> None:
        check_counts("model", latent_dim=latent_dim)
        super().__init__(spec, optimizer, schedule)
        self.latent_dim, self.loss = latent_dim, loss or Beta()
        self.likelihood, self.condition = likelihood(spec), condition(spec)
        check_vector_only(self.condition, type(self).__name__)
        known = self.condition.features
        self.encoder = encoder(spec)
        self.decoder = decoder(spec, latent_dim + known, self.likelihood.parameters_per_pixel)
        self.posterior = posterior(self.encoder.features + known, latent_dim)
        self.prior = prior(Recognition(spec, latent_dim, known, self.encoder, self.posterior))

    @property
    def condition_keys(self) -> tuple[str, ...]:
        return self.condition.keys

    def terms(self, image: Tensor, condition: Batch | None = None) -> tuple[Tensor, Tensor]:
        context = self.condition.vector(condition)
        z, log_q = self.posterior.rsample(self._features(image, context))
        log_likelihood = self.likelihood.log_prob(self.decoder(with_context(z, context)), image).flatten(1).sum(1)
        return log_likelihood, (log_q - self.prior.log_prob(z, context))[:, None]

    def objective(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        return self.loss(partial(self.terms, image, condition), self.images_seen)

    def settle(self) -> None:
        self.loss.settle(self.images_seen, self.device)

    def step_constants(self) -> Hashable:
        return self.loss.constants(self.images_seen)

    def _features(self, image: Tensor, context: Tensor | None) -> Tensor:
        return with_context(self.encoder(to_signed(image, self.spec.levels).to(self.dtype)), context)

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        rows = self.condition.rows(condition, n, generator)
        z = self.draw_prior(n, rows, temperature, generator)
        shape = (n, self.likelihood.draws, *self.spec.shape[1:])
        uniform = self.uniform(*shape, generator=generator)
        return self.likelihood.sample(self.decoder(with_context(z, self.condition.vector(rows))), uniform, temperature)

    def draw_prior(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        context = self.condition.vector(self.condition.rows(condition, n, generator))
        noise = temperature * self.noise(n, self.latent_dim, generator=generator)
        return self.prior.draw(noise, self.uniform(n, generator=generator), context)

    def draw_code(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        return self.posterior.rsample(self._features(image, self.condition.vector(condition)))[0]

    def encode(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        return self.posterior.mean(self._features(image, self.condition.vector(condition)))

    def decode(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        return self.likelihood.mode(self.decoder(with_context(z, self.condition.vector(condition))))

    def gaussian_code(self, image: Tensor) -> tuple[Tensor, Tensor]:
        for part, want in (
            (self.posterior, GaussianPosterior),
            (self.prior, StandardNormal),
            (self.condition, Unconditional),
        ):
            if not isinstance(part, want):
                raise UserError(f"model has {type(part).__name__}: bits back wants {want.__name__}")
        assert isinstance(self.posterior, GaussianPosterior)
        return self.posterior.gaussian(self._features(image, None))

    def pixel_pmf(self, z: Tensor, image: Tensor, channel: int) -> Tensor:
        return self.likelihood.pmf(self.decoder(z), image, channel)
