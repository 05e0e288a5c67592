"""What a likelihood p(image | parameters) of the discrete image is, pixel by pixel, and how one is drawn from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.images import ImageSpec

__all__ = ["Likelihood", "pick"]


def pick(p: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
    """Pick the level where the cumulative distribution passes a uniform number.

    Args:
        p: float64 (B, levels, ...), the sum over levels is 1.
        uniform: (B, 1, ...) in [0, 1).
        temperature: see `Likelihood.sample`.

    Returns:
        uint8 (B, ...).
    """
    if temperature != 1.0:
        p = (p / p.amax(1, keepdim=True)) ** (1.0 / temperature)
    cdf = p.cumsum(1)
    below = cdf <= uniform * cdf[:, -1:]
    return below.sum(1).clamp(max=p.shape[1] - 1).to(torch.uint8)


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
    def channel_parameters(self) -> tuple[int, ...]:
        """How many parameters each channel owns; they lie one channel after another in `raw`. The distribution of
        channel c given the channels before it is a function of the parameters of channels 0..c alone, so a network
        may show channels 0..c-1 of the pixel to the parameters of channel c."""

    @final
    @property
    def parameters_per_pixel(self) -> int:
        """P, the number of channels that the network must put out."""
        return sum(self.channel_parameters)

    @final
    @property
    def draws(self) -> int:
        """U, how many uniform numbers per pixel `sample` needs: one per channel."""
        return self.spec.channels

    @abstractmethod
    def log_prob(self, raw: Tensor, image: Tensor) -> Tensor:
        """Compute log p, raw (B, P, H, W), image uint8 (B, C, H, W) -> (B, H, W) nats of each pixel, all channels
        together."""

    @abstractmethod
    def pmf(self, raw: Tensor, image: Tensor, channel: int) -> Tensor:
        """Compute p(level of `channel` | channels before it in `image`): float64 (B, levels, H, W), sums to 1 over
        levels."""

    def pixel_pmfs(self, read: Callable[[], Tensor], pixel: Tensor) -> Iterator[Tensor]:
        """Give `pmf` of each channel of one pixel, one after another; between them the caller puts the level of that
        channel into `pixel`.

        Args:
            read: called once per channel, gives raw (B, P, 1, 1).
            pixel: uint8 (B, C, 1, 1).
        """
        for channel in range(self.spec.channels):
            yield self.pmf(read(), pixel, channel)

    @final
    def sample(self, raw: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw an image, raw (B, P, H, W), uniform (B, U, H, W) in [0, 1) -> uint8 (B, C, H, W); a function of its
        arguments alone, so that the same uniforms give the same image however the pixels are visited.

        Args:
            raw: parameters.
            uniform: one number per channel; the level is where the cumulative distribution passes it.
            temperature: p ** (1 / temperature), renormalised, is drawn from; above 0.
        """
        # Row by row: the probabilities of all levels of a whole batch of pictures need not fit into memory at once.
        rows = zip(raw.split(1, 2), uniform.split(1, 2), strict=True)
        return torch.cat([self._sample_row(r, u, temperature) for r, u in rows], 2)

    def _sample_row(self, raw: Tensor, uniform: Tensor, temperature: float) -> Tensor:
        image = torch.zeros(uniform.shape, dtype=torch.uint8, device=raw.device)
        for channel in range(self.spec.channels):
            p = self.pmf(raw, image, channel)
            image[:, channel] = pick(p, uniform[:, channel : channel + 1], temperature)
        return image

    def mode(self, raw: Tensor) -> Tensor:
        """Choose an image, raw (B, P, H, W) -> uint8 (B, C, H, W), one typical value per pixel, without randomness: the
        median, for on ordered grey levels a picture of medians is less speckled than one of most likely levels."""
        return self.sample(raw, torch.full((len(raw), self.draws, *raw.shape[2:]), 0.5, device=raw.device))
