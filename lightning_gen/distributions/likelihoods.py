"""Likelihoods p(image | parameters) of the discrete image, pixel by pixel, given the output of a network.

Shared by decoders of VAEs and by autoregressive networks; chosen by class in YAML. A subclass states its parameters,
its log-probability and its probability mass function; sampling and the typical value follow from the last.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from lightning_gen.distributions.likelihood import Likelihood, pick
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.precision import at_least_float32

__all__ = ["Bernoulli", "Categorical", "DiscretizedGaussian", "Likelihood", "LogisticMixture", "pick"]


@final
class Categorical(Likelihood):
    """A softmax over the levels of each channel: any shape of distribution, levels without order."""

    @property
    def channel_parameters(self) -> tuple[int, ...]:
        return (self.spec.levels,) * self.spec.channels

    def log_prob(self, raw: Tensor, image: Tensor) -> Tensor:
        shape = (self.spec.channels, self.spec.levels)
        logits = at_least_float32(raw).unflatten(1, shape).transpose(1, 2)  # (B, levels, C, H, W)
        return -cross_entropy(logits, image.long(), reduction="none").sum(1)

    def pmf(self, raw: Tensor, image: Tensor, channel: int) -> Tensor:
        return raw.split(self.channel_parameters, 1)[channel].double().softmax(1)


@final
class Bernoulli(Likelihood):
    """One logit per channel, for images of two levels.

    Raises:
        UserError: the images have more than two levels.
    """

    def __init__(self, spec: ImageSpec) -> None:
        if spec.levels != 2:
            raise UserError(f"data has {spec.levels} levels: likelihood Bernoulli wants 2 (binarised images)")
        super().__init__(spec)

    @property
    def channel_parameters(self) -> tuple[int, ...]:
        return (1,) * self.spec.channels

    def log_prob(self, raw: Tensor, image: Tensor) -> Tensor:
        return logsigmoid(at_least_float32(raw) * to_signed(image, 2)).sum(1)

    def pmf(self, raw: Tensor, image: Tensor, channel: int) -> Tensor:
        logit = raw[:, channel : channel + 1].double()
        return torch.cat([-logit, logit], 1).sigmoid()


class _Binned(Likelihood):
    """A continuous distribution on the line, cut into one bin per level; the edge bins are open, so all mass counts.

    Location 0 is mid-grey and scale 1 is half the range, as in signed images. Inside, a level is a unit: then the
    edges k + 1/2 are exact numbers and neighbouring bins share theirs bit for bit.

    Args:
        spec: of the images.
        floor: smallest natural logarithm of the scale; keeps the likelihood of a constant region finite in float32.
    """

    def __init__(self, spec: ImageSpec, floor: float) -> None:
        super().__init__(spec)
        self.floor, self.middle = floor, (spec.levels - 1) / 2

    @abstractmethod
    def _log_masses(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log(F(upper) - F(lower)), log F(upper) and log(1 - F(lower)) of the standard distribution."""

    def _edges(self, level: Tensor, location: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
        inverse = torch.exp(-log_scale.clamp(min=self.floor)) / self.middle
        distance = level - self.middle * (1.0 + location)
        return (distance - 0.5) * inverse, (distance + 0.5) * inverse

    def _log_bins(self, level: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
        """log-probability of `level` (0..levels-1, any float) by broadcasting; location and log-scale signed."""
        inner, first, last = self._log_masses(*self._edges(level, location, log_scale))
        return torch.where(level == 0, first, torch.where(level == self.spec.levels - 1, last, inner))

    def _log_every_bin(self, location: Tensor, log_scale: Tensor) -> Tensor:
        """log-probability of every level, location and log-scale float64 (B, K, H, W) -> (B, levels, K, H, W)."""
        level = torch.arange(self.spec.levels, dtype=torch.float64, device=location.device).view(-1, 1, 1, 1)
        inner, first, last = self._log_masses(*self._edges(level, location[:, None], log_scale[:, None]))
        inner[:, 0], inner[:, -1] = first[:, 0], last[:, -1]
        return inner


@final
class DiscretizedGaussian(_Binned):
    """A Gaussian per channel, its mean and the logarithm of its deviation: the squared error of a VAE, kept an honest
    likelihood of the discrete image.

    Args:
        spec: of the images.
        floor: see `LogisticMixture`.
    """

    def __init__(self, spec: ImageSpec, floor: float = -7.0) -> None:
        super().__init__(spec, floor)

    @property
    def channel_parameters(self) -> tuple[int, ...]:
        return (2,) * self.spec.channels

    def log_prob(self, raw: Tensor, image: Tensor) -> Tensor:
        raw = at_least_float32(raw)
        return self._log_bins(image.to(raw.dtype), raw[:, 0::2], raw[:, 1::2]).sum(1)

    def pmf(self, raw: Tensor, image: Tensor, channel: int) -> Tensor:
        location, log_scale = raw[:, 2 * channel : 2 * channel + 2].double().split(1, 1)
        p = self._log_every_bin(location, log_scale).exp()[:, :, 0]
        return p / p.sum(1, keepdim=True)

    def mode(self, raw: Tensor) -> Tensor:
        """As in `Likelihood`; the median of a Gaussian is its mean, so no level need be looked at."""
        mean = self.middle * (1.0 + raw[:, 0::2].double())  # in levels
        return (mean - 0.5).ceil().clamp(0, self.spec.levels - 1).to(torch.uint8)

    def _log_masses(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # In the left tail, where log F is accurate; the right one is its mirror image.
        mirrored = lower > 0
        low, high = torch.where(mirrored, -upper, lower), torch.where(mirrored, -lower, upper)
        log_low, log_high = _log_normal_cdf(low), _log_normal_cdf(high)
        inner = log_high + torch.log(-torch.expm1((log_low - log_high).clamp(max=-1e-12)))
        return inner, _log_normal_cdf(upper), _log_normal_cdf(-lower)


def _log_normal_cdf(x: Tensor) -> Tensor:
    """log F(x) of the standard Gaussian, with right gradients in float32 however far in the left tail."""
    # torch's own has none beyond some thousand deviations; there the asymptotic series is exact to rounding.
    near, far = x.clamp(min=-50.0), x.clamp(max=-50.0)
    inverse = far.square().reciprocal()
    series = torch.log1p(inverse * (-1.0 + inverse * (3.0 - 15.0 * inverse)))
    tail = -0.5 * far.square() - torch.log(-far) - 0.5 * math.log(2.0 * math.pi) + series
    return torch.where(x < -50.0, tail, torch.special.log_ndtr(near))


@final
class LogisticMixture(_Binned):
    """Discretised mixture of logistics (Salimans et al. 2017, Section 2.1-2.2): K logistics shared by the channels of a
    pixel; the location of channel c moves linearly with the channels before it (Eq. 3).

    Args:
        spec: of the images.
        mixtures: K, 1 or more.
        floor: smallest natural logarithm of a scale, in units of half the range.
    """

    def __init__(self, spec: ImageSpec, mixtures: int = 10, floor: float = -7.0) -> None:
        check_counts("likelihood", mixtures=mixtures)
        super().__init__(spec, floor)
        self.mixtures = mixtures

    @property
    def channel_parameters(self) -> tuple[int, ...]:
        # location, log-scale, one coefficient per channel before it; the first channel has the mixture logits too
        return tuple(self.mixtures * (3 if c == 0 else 2 + c) for c in range(self.spec.channels))

    def log_prob(self, raw: Tensor, image: Tensor) -> Tensor:
        return self._joint(at_least_float32(raw), image, self.spec.channels).logsumexp(1)

    def pmf(self, raw: Tensor, image: Tensor, channel: int) -> Tensor:
        raw = raw.double()
        return self._mixed(
            self._joint(raw, image, channel), self._log_every_bin(*self._components(raw, image, channel))
        )

    def pixel_pmfs(self, read: Callable[[], Tensor], pixel: Tensor) -> Iterator[Tensor]:
        # What each component says of the level that was chosen is among what it says of all levels.
        raw = read().double()
        joint = raw[:, : self.mixtures].log_softmax(1)
        for channel in range(self.spec.channels):
            raw = read().double() if channel else raw
            log_p = self._log_every_bin(*self._components(raw, pixel, channel))
            yield self._mixed(joint, log_p)
            if channel + 1 < self.spec.channels:
                level = pixel[:, channel : channel + 1, None].long().expand(-1, -1, self.mixtures, -1, -1)
                joint = joint + log_p.gather(1, level)[:, 0]

    def _mixed(self, joint: Tensor, log_p: Tensor) -> Tensor:
        """Mix `_log_every_bin` by log p(k, channels before), (B, K, H, W) -> (B, levels, H, W), which sums to 1."""
        p = (joint.softmax(1)[:, None] * log_p.exp()).sum(2)
        return p / p.sum(1, keepdim=True)

    def _joint(self, raw: Tensor, image: Tensor, channels: int) -> Tensor:
        """log p(k, channels 0..channels-1 of the pixel), (B, K, H, W)."""
        joint = raw[:, : self.mixtures].log_softmax(1)
        for channel in range(channels):
            level = image[:, channel : channel + 1].to(raw.dtype)
            joint = joint + self._log_bins(level, *self._components(raw, image, channel))
        return joint

    def _components(self, raw: Tensor, image: Tensor, channel: int) -> tuple[Tensor, Tensor]:
        """Locations and log-scales (B, K, H, W) of `channel`."""
        own = raw.split(self.channel_parameters, 1)[channel].unflatten(1, (-1, self.mixtures))
        if channel == 0:
            return own[:, 1], own[:, 2]
        earlier = to_signed(image[:, :channel], self.spec.levels).to(raw.dtype)
        return own[:, 0] + (own[:, 2:].tanh() * earlier.unsqueeze(2)).sum(1), own[:, 1]

    def _log_masses(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)): exact in both tails, no approximation.
        first, last = logsigmoid(upper), logsigmoid(-lower)
        return first + last + torch.log(-torch.expm1((lower - upper).clamp(max=-1e-12))), first, last
