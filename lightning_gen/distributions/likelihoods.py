"""Likelihoods p(image | parameters) of the discrete image, pixel by pixel, given the output of a network.

Shared by decoders of VAEs and by autoregressive networks; chosen by class in YAML.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lightning_gen.images import ImageSpec

__all__ = ["Categorical", "Likelihood"]


class Likelihood(nn.Module, ABC):
    """Pixels are independent of one another given the parameters; the channels of one pixel need not be.

    Args:
        spec: of the images.
    """

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.spec = spec

    @property
    @abstractmethod
    def parameters_per_pixel(self) -> int:
        """P, the number of channels that the network must put out."""

    @property
    def draws(self) -> int:
        """U, how many uniform numbers per pixel `sample` needs; one per channel unless a subclass says otherwise."""
        return self.spec.channels

    @abstractmethod
    def log_prob(self, raw: Tensor, image: Tensor) -> Tensor:
        """raw (B, P, H, W), image uint8 (B, C, H, W) -> (B, H, W) nats of each pixel, all channels together."""

    @abstractmethod
    def sample(self, raw: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """raw (B, P, H, W), uniform (B, U, H, W) in [0, 1) -> uint8 (B, C, H, W); a function of its arguments alone,
        so that the same uniforms give the same image however they are visited."""

    @abstractmethod
    def mode(self, raw: Tensor) -> Tensor:
        """raw (B, P, H, W) -> uint8 (B, C, H, W), one typical value per pixel, without randomness."""


class Categorical(Likelihood):
    """A softmax over the levels of each channel; channel-major: channel c owns parameters c*levels..(c+1)*levels-1."""

    @property
    def parameters_per_pixel(self) -> int:
        return self.spec.channels * self.spec.levels

    def _logits(self, raw: Tensor) -> Tensor:
        batch, _, height, width = raw.shape
        return raw.view(batch, self.spec.channels, self.spec.levels, height, width)

    def log_prob(self, raw: Tensor, image: Tensor) -> Tensor:
        logits = self._logits(raw).transpose(1, 2)  # (B, levels, C, H, W)
        return -nn.functional.cross_entropy(logits, image.long(), reduction="none").sum(1)

    def sample(self, raw: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        # Inversion of the CDF in float64: with 256 levels a float32 sum would favour the last one.
        cdf = torch.softmax(self._logits(raw).double() / temperature, 2).cumsum(2)
        return (cdf < uniform.double().unsqueeze(2)).sum(2).clamp(max=self.spec.levels - 1).to(torch.uint8)

    def mode(self, raw: Tensor) -> Tensor:
        # The median: on ordered grey levels a picture of medians is less speckled than one of most likely levels.
        return self.sample(raw, torch.full((len(raw), self.draws, *raw.shape[2:]), 0.5, device=raw.device))
