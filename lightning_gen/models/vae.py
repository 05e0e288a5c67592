"""The variational autoencoder (Kingma and Welling 2014), and the VAE+NF hybrid by its posterior (Rezende and Mohamed
2015): the flow's parameters come from the encoder, image by image."""

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.base import Batch, LatentModule, LikelihoodModule, OptimizerFactory
from lightning_gen.distributions.likelihoods import Categorical, Likelihood
from lightning_gen.distributions.posteriors import Posterior, gaussian_log_prob
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.nets.autoencoder import ConvEncoder
from lightning_gen.schedules import Schedule

__all__ = ["VAE"]


@final
class VAE(LikelihoodModule, LatentModule):
    """ELBO = E_q [log p(x|z) + log p(z) - log q(z|x)], one sample of z.

    Args:
        spec: of the images.
        encoder: called with (spec); its `features` is the length of its output.
        decoder: called with (spec, latent_dim, P); gives the parameters (B, P, H, W) of the likelihood.
        posterior: called with (features, latent_dim).
        optimizer: see `LikelihoodModule`.
        likelihood: p(x|z), called with (spec); it says P.
        latent_dim: Z.
        schedule: see `ImageModule`.
    """

    bound = "elbo"

    def __init__(
        self,
        spec: ImageSpec,
        encoder: Callable[[ImageSpec], ConvEncoder],
        decoder: Callable[[ImageSpec, int, int], nn.Module],
        posterior: Callable[[int, int], Posterior],
        optimizer: OptimizerFactory,
        likelihood: Callable[[ImageSpec], Likelihood] = Categorical,
        latent_dim: int = 16,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(spec, optimizer, schedule)
        self.latent_dim = latent_dim
        self.likelihood = likelihood(spec)
        self.encoder = encoder(spec)
        self.decoder = decoder(spec, latent_dim, self.likelihood.parameters_per_pixel)
        self.posterior = posterior(self.encoder.features, latent_dim)

    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        z, log_q = self.posterior.rsample(self.encoder(to_signed(image, self.spec.levels)))
        log_likelihood = self.likelihood.log_prob(self.decoder(z), image).flatten(1).sum(1)
        return log_likelihood + gaussian_log_prob(z) - log_q

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        z = temperature * self.noise(n, self.latent_dim, generator=generator)
        device = generator.device if generator is not None else self.device
        shape = (n, self.likelihood.draws, *self.spec.shape[1:])
        uniform = torch.rand(shape, generator=generator, device=device).to(self.device)
        return self.likelihood.sample(self.decoder(z), uniform, temperature)

    def encode(self, image: Tensor) -> Tensor:
        return self.posterior.mean(self.encoder(to_signed(image, self.spec.levels)))

    def decode(self, z: Tensor) -> Tensor:
        return self.likelihood.mode(self.decoder(z))
