"""Sequential Monte Carlo (Gordon et al. 1993): draws from p(missing | known) by a model that can only go forward."""

from typing import final

import torch
from torch import Generator, Tensor

__all__ = ["Particles"]


@final
class Particles:
    """Several attempts at each image. Missing values are drawn forward; each known value weighs the attempts by how
    well they foresaw it; from time to time bad attempts make way for copies of good ones. Approximate: exact in the
    limit of many attempts.

    Args:
        images: B.
        particles: of each image, P; attempt k of image i is row i * P + k.
        generator: source of all randomness.
        device: of the tensors that come and go.
    """

    def __init__(self, images: int, particles: int, generator: Generator | None, device: torch.device | str) -> None:
        self.generator, self.device = generator, device
        self.log_weight = torch.zeros(images, particles, dtype=torch.float64, device=device)

    def weigh(self, log_p: Tensor) -> None:
        """Take in the log-probability (B * P,) that each attempt gave to a known value, 0 where nothing was known."""
        self.log_weight += log_p.view_as(self.log_weight)

    def resample(self) -> Tensor | None:
        """Choose the row that each row goes on from, (B * P,); None where all may go on. An image is drawn anew where
        its effective number of attempts, 1 / sum w^2, is below half of P, by one uniform number (systematic
        resampling)."""
        count = self.log_weight.shape[1]
        weight = self.log_weight.softmax(1)
        poor = 1.0 / weight.square().sum(1) < count / 2
        if not poor.any():
            return None
        points = (torch.arange(count, device=self.device) + self._uniform(len(weight), 1)) / count
        chosen = torch.searchsorted(weight.cumsum(1), points.double()).clamp(max=count - 1)
        chosen = torch.where(poor[:, None], chosen, torch.arange(count, device=self.device))
        self.log_weight[poor] = 0.0
        return self._rows(chosen).flatten()

    def draw(self) -> Tensor:
        """Draw the row of one attempt per image, (B,), by weight."""
        cumulative = self.log_weight.softmax(1).cumsum(1)
        chosen = torch.searchsorted(cumulative, self._uniform(len(cumulative), 1).double())
        return self._rows(chosen.clamp(max=cumulative.shape[1] - 1))[:, 0]

    def _rows(self, chosen: Tensor) -> Tensor:
        return chosen + self.log_weight.shape[1] * torch.arange(len(chosen), device=self.device)[:, None]

    def _uniform(self, *shape: int) -> Tensor:
        device = self.generator.device if self.generator is not None else self.device
        return torch.rand(shape, generator=self.generator, device=device).to(self.device)
