"""A (bound on the) log-likelihood of the discrete image."""

import math
from abc import abstractmethod
from typing import ClassVar, Literal, final

from torch import Tensor

from lightning_gen.batches import Batch, without_image
from lightning_gen.contracts.descent import DescentModule
from lightning_gen.contracts.generation import GenerativeModule

__all__ = ["Bound", "LikelihoodModule", "VariationalModule"]


Bound = Literal["exact", "dequantized", "elbo", "iwae-k"]


class LikelihoodModule(GenerativeModule, DescentModule):
    """A model with a (bound on the) log-likelihood of the discrete image.

    Arguments as `DescentModule`."""

    #: what `log_prob` is: "exact"; "dequantized" and "elbo" are stochastic lower bounds
    bound: ClassVar[Bound]
    loss_name = "bits_per_dim"

    @abstractmethod
    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """uint8 (B, C, H, W) -> (B,) nats of the discrete image, or a lower bound as `bound` says."""

    def objective(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """(B,) nats to minimise in training: the negative log-likelihood unless the paper trains on another."""
        return -self.log_prob(image, condition)

    @final
    def bits_per_dim(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """(B,) bits per dimension, -log2 p(image) / (C*H*W)."""
        return self.to_bits(-self.log_prob(image, condition))

    @final
    def to_bits(self, nats: Tensor) -> Tensor:
        """Nats per image -> bits per dimension."""
        return nats / (self.spec.dims * math.log(2.0))

    @final
    def batch_loss(self, batch: Batch) -> Tensor:
        # In bits/dim gradients, and so clipping thresholds, keep their size across resolutions.
        return self.to_bits(self.objective(batch["image"], without_image(batch)).mean())

    @final
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        bits = self.bits_per_dim(batch["image"], without_image(batch))
        self.log("val/bits_per_dim", bits.mean(), batch_size=len(bits), sync_dist=True, on_epoch=True)


class VariationalModule(LikelihoodModule):
    """log p(x) >= E_q [log p(x|z) - (log q(z|x) - log p(z))] (Kingma and Welling 2014, Eq. 3), one draw of z."""

    bound = "elbo"

    @abstractmethod
    def terms(self, image: Tensor, condition: Batch | None = None) -> tuple[Tensor, Tensor]:
        """Draw z once for each image: log p(x|z), nats (B,), and log q(z|x) - log p(z), nats (B, G), a column for
        each group of latent variables, such as a layer. Their means are minus the distortion, and the rate."""

    @final
    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        log_likelihood, kl = self.terms(image, condition)
        return log_likelihood - kl.sum(1)
