"""Models with a code per image."""

from abc import ABC, abstractmethod

from torch import Generator, Tensor

from lightning_gen.batches import Batch

__all__ = ["BitsBackModule", "LatentModule", "ReconstructionModule", "StochasticLatentModule"]


class ReconstructionModule(ABC):
    """A model that compresses an image and restores it."""

    @abstractmethod
    def reconstruct(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """uint8 (B, C, H, W) -> the same, through the model's code; deterministic."""


class LatentModule(ReconstructionModule):
    """A model with a vector code per image."""

    @abstractmethod
    def encode(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """uint8 (B, C, H, W) -> float (B, Z); deterministic (the mean of a stochastic code)."""

    @abstractmethod
    def decode(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        """float (B, Z) -> uint8 (B, C, H, W); deterministic."""

    def reconstruct(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        return self.decode(self.encode(image, condition), condition)


class StochasticLatentModule(LatentModule):
    """A model with a distribution of codes per image, and one of all codes."""

    @abstractmethod
    def draw_code(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """uint8 (B, C, H, W) -> z ~ q(z|x), float (B, Z)."""

    @abstractmethod
    def draw_prior(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """z ~ p(z), float (n, Z); arguments as those of `GenerativeModule.sample`."""


class BitsBackModule(ABC):
    """A model whose code of an image is Gaussian, under a standard normal prior: it can code by bits back."""

    #: Z
    latent_dim: int

    @abstractmethod
    def gaussian_code(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (B, C, H, W) -> mean and log-scale of q(z|x), both (B, Z).

        Raises:
            UserError: this one's posterior, prior or condition is of another kind.
        """

    @abstractmethod
    def pixel_pmf(self, z: Tensor, image: Tensor, channel: int) -> Tensor:
        """float (B, Z), and uint8 (B, C, H, W) whose channels before `channel` are known -> p of each level of
        `channel`, float64 (B, levels, H, W); the pixels are independent of one another."""
