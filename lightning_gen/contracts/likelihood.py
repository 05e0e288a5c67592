"""A (bound on the) log-likelihood of the discrete image, and the training that follows from it."""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_gen.batches import Batch, without_image
from lightning_gen.contracts.generation import GenerativeModule
from lightning_gen.contracts.module import OptimizerFactory
from lightning_gen.images import ImageSpec
from lightning_gen.schedules import Schedule

__all__ = ["Bound", "LikelihoodModule", "VariationalModule"]


Bound = Literal["exact", "dequantized", "elbo", "iwae-k"]


class LikelihoodModule(GenerativeModule):
    """A model with a (bound on the) log-likelihood of the discrete image. Training is written once, here.

    Args:
        spec: see `ImageModule`.
        optimizer: called with the parameters, e.g. ``{class_path: torch.optim.Adam, init_args: {lr: 1e-3}}``.
        schedule: see `ImageModule`.
    """

    #: what `log_prob` is: "exact"; "dequantized" and "elbo" are stochastic lower bounds
    bound: ClassVar[Bound]
    #: loss of the newest training batch, bits/dim, a scalar
    latest_loss: Tensor | None = None

    def __init__(self, spec: ImageSpec, optimizer: OptimizerFactory, schedule: Schedule | None = None) -> None:
        super().__init__(spec, schedule)
        self.optimizer_factory = optimizer
        self._gradients_wait = False

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
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        self.apply_schedule()
        self.batches_seen += 1
        if self.step_runner and self.step_runner(self.step_constants(), batch, self._descend) != "eager":
            self.count(batch)
            return None  # forward, backward and optimizer step are done
        self._gradients_wait = True
        bits = self._loss(batch)
        self.count(batch)
        return bits

    def _loss(self, batch: Batch) -> Tensor:
        # In bits/dim gradients, and so clipping thresholds, keep their size across resolutions.
        bits = self.to_bits(self.objective(batch["image"], without_image(batch)).mean())
        self.latest_loss = bits.detach()
        return bits

    def _descend(self, batch: Batch) -> None:
        """Make one whole optimizer step, as Lightning does around `training_step`; for a captured graph."""
        bits = self._loss(batch)
        with torch.autocast(self.device.type, enabled=False):
            bits.backward()
            optimizer = self.optimizers(use_pl_optimizer=False)
            assert isinstance(optimizer, Optimizer)
            self.configure_gradient_clipping(
                optimizer,
                self.trainer.gradient_clip_val,  # type: ignore[attr-defined]
                self.trainer.gradient_clip_algorithm,  # type: ignore[attr-defined]
            )
            optimizer.step()
            optimizer.zero_grad()

    def step_outputs(self) -> Any:
        return self.latest_loss

    def take_outputs(self, outputs: Any) -> None:
        self.latest_loss = outputs

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Note that the accumulated gradients are used: Lightning calls this where an accumulation is full."""
        self._gradients_wait = False

    @property
    def accumulating(self) -> bool:
        return self._gradients_wait

    @property
    def losses(self) -> dict[str, Tensor]:
        return {} if self.latest_loss is None else {"bits_per_dim": self.latest_loss}

    @final
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        bits = self.bits_per_dim(batch["image"], without_image(batch))
        self.log("val/bits_per_dim", bits.mean(), batch_size=len(bits), sync_dist=True, on_epoch=True)

    @final
    def configure_optimizers(self) -> Optimizer:
        return self.optimizer_factory(self.parameters())


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
