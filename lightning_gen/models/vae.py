"""The variational autoencoder (Kingma and Welling 2014), and the VAE+NF hybrid by its posterior (Rezende and Mohamed
2015): the flow's parameters come from the encoder, image by image."""

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor, nn

from lightning_gen.base import Batch, LatentModule, LikelihoodModule, OptimizerFactory
from lightning_gen.distributions.likelihoods import categorical_log_prob, categorical_sample
from lightning_gen.distributions.posteriors import Posterior, gaussian_log_prob
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.nets.autoencoder import ConvEncoder
from lightning_gen.schedules import Schedule

__all__ = ["VAE"]


@final
class VAE(LikelihoodModule, LatentModule):
    """ELBO = E_q [log p(x|z) + log p(z) - log q(z|x)], one sample of z; p(x|z) is categorical over the levels.

    Args:
        spec: of the images.
        encoder: called with (spec); its `features` is the length of its output.
        decoder: called with (spec, latent_dim); gives logits (B, C*levels, H, W).
        posterior: called with (features, latent_dim).
        optimizer: see `LikelihoodModule`.
        latent_dim: Z.
        schedule: see `ImageModule`.
    """

    bound = "elbo"

    def __init__(
        self,
        spec: ImageSpec,
        encoder: Callable[[ImageSpec], ConvEncoder],
        decoder: Callable[[ImageSpec, int], nn.Module],
        posterior: Callable[[int, int], Posterior],
        optimizer: OptimizerFactory,
        latent_dim: int = 16,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(spec, optimizer, schedule)
        self.latent_dim = latent_dim
        self.encoder, self.decoder = encoder(spec), decoder(spec, latent_dim)
        self.posterior = posterior(self.encoder.features, latent_dim)

    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        z, log_q = self.posterior.rsample(self.encoder(to_signed(image, self.spec.levels)))
        log_likelihood = categorical_log_prob(self.decoder(z), image).flatten(1).sum(1)
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
        uniform = torch.rand(n, *self.spec.shape, generator=generator, device=device).to(self.device)
        return categorical_sample(self.decoder(z), self.spec, uniform, temperature)

    def encode(self, image: Tensor) -> Tensor:
        return self.posterior.mean(self.encoder(to_signed(image, self.spec.levels)))

    def decode(self, z: Tensor) -> Tensor:
        median = torch.full((len(z), *self.spec.shape), 0.5, device=z.device)
        return categorical_sample(self.decoder(z), self.spec, median)
