"""Regularizers of a discriminator: terms of its loss, and projections of its weights after each step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from lightning_gen.errors import IMAGE_LIMIT, UserError, check_counts
from lightning_gen.precision import full_precision
from lightning_gen.schedules import Ramp, value_at

__all__ = [
    "R1",
    "R2",
    "Critic",
    "GradientPenalty",
    "Lazy",
    "Penalty",
    "Regularizer",
    "StepCount",
    "WeightClip",
    "penalty_terms",
]

#: signed images (B, C, H, W), or bars (B, 38, 16) -> logits, one or more per image
Critic = Callable[[Tensor], Tensor]


class StepCount(NamedTuple):
    """Discriminator steps before this one, and training images seen before this batch."""

    step: int
    images_seen: int


class Regularizer(ABC):
    """A constraint on the discriminator."""

    #: of its curve
    name: str

    @abstractmethod
    def penalty(self, critic: Critic, real: Tensor, fake: Tensor, count: StepCount) -> Tensor | None:
        """Scalar added to the discriminator's loss, None where there is none this time; `real` and `fake` are signed
        images (B, C, H, W) of one dtype, detached."""

    def settle(self, count: StepCount, device: torch.device) -> None:  # noqa: B027
        """Put the numbers of the next step that change in training into tensors on the device."""

    def constants(self, count: StepCount) -> Hashable:
        """Numbers of Python that `penalty` takes in and that change in training."""
        return ()

    @abstractmethod
    def project(self, network: nn.Module) -> None:
        """Project the weights of the discriminator onto the allowed ones; called after each of its steps."""


def penalty_terms(
    regularizers: Sequence[Regularizer], critic: Critic, real: Tensor, fake: Tensor, count: StepCount
) -> dict[str, Tensor]:
    """Compute the terms of this step by name; the second of one name has its place behind it.

    Args:
        regularizers: of the discriminator.
        critic: the discriminator, given the condition of the batch.
        real: see `Regularizer.penalty`, as is `fake`.
        fake: generated.
        count: steps and images before this one.
    """
    found: dict[str, Tensor] = {}
    for i, regularizer in enumerate(regularizers):
        name = regularizer.name if regularizer.name not in found else f"{regularizer.name}_{i}"
        value = regularizer.penalty(critic, real, fake, count)
        found |= {} if value is None else {name: value}
    return found


class Penalty(Regularizer, ABC):
    """A regularizer that is a term of the loss alone."""

    @final
    def project(self, network: nn.Module) -> None:
        """Do nothing: every weight is allowed."""


@final
class WeightClip(Regularizer):
    """Every weight into [-bound, bound] (Arjovsky et al. 2017, Algorithm 1).

    Args:
        bound: c of the paper, above 0.
    """

    name = "weight_clip"

    def __init__(self, bound: float = 0.01) -> None:
        if bound <= 0:
            raise UserError(f"regularizer.bound is {bound}: want above 0")
        self.bound = bound

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor, count: StepCount) -> None:
        """Return None: no term of the loss."""

    @torch.no_grad()
    def project(self, network: nn.Module) -> None:
        weights: list[Tensor] = list(network.parameters())
        torch._foreach_clamp_min_(weights, -self.bound)
        torch._foreach_clamp_max_(weights, self.bound)


def _squared_norm(critic: Critic, x: Tensor) -> Tensor:
    """(B,), squared Euclidean norm of the gradient of each image's logits with respect to `x`, in its dtype. Under
    autocast, too: in 16 bits a norm near its target is known to three digits, and its own gradient to fewer."""
    x = x.detach().requires_grad_(True)
    with full_precision(x):
        (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1)


@final
class GradientPenalty(Penalty):
    """weight * E (|grad D(x')| - 1)^2 with x' uniform on the lines between pairs (Gulrajani et al. 2017, Eq. 3).

    Not with batch norm in the critic: there the gradient of one image depends on the others of its batch.

    Args:
        weight: lambda of the paper, 0 or more.
    """

    name = "gradient_penalty"

    def __init__(self, weight: float = 10.0) -> None:
        _check("weight", weight)
        self.weight = weight

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor, count: StepCount) -> Tensor:
        share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device).to(real.dtype)
        norm = (_squared_norm(critic, fake.lerp(real, share)) + 1e-12).sqrt()  # the root has no gradient at 0
        return self.weight * (norm - 1.0).square().mean()


class _ZeroCentred(Penalty, ABC):
    """gamma / 2 * E |grad D|^2 on images of one kind.

    Args:
        gamma: 0 or more, or a ramp over images seen.
    """

    def __init__(self, gamma: float | Ramp = 10.0) -> None:
        _check("gamma", gamma)
        self.gamma = gamma
        self._weight: Tensor | None = None  # half of gamma on the device, where it is a ramp

    def settle(self, count: StepCount, device: torch.device) -> None:
        if isinstance(self.gamma, Ramp):
            if self._weight is None or self._weight.device != device:
                self._weight = torch.zeros((), device=device)
            self._weight.fill_(0.5 * self.gamma.value(count.images_seen))

    @abstractmethod
    def images(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the images whose gradient is penalised."""

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor, count: StepCount) -> Tensor:
        squared = _squared_norm(critic, self.images(real, fake))  # (B,)
        weight = 0.5 * value_at(self.gamma, count.images_seen) if self._weight is None else self._weight
        return weight * squared.mean()


@final
class R1(_ZeroCentred):
    """gamma / 2 * E |grad D(x)|^2 on real images (Mescheder et al. 2018, Eq. 9).

    Args:
        gamma: 0 or more, or a ramp over images seen.
    """

    name = "r1"

    def images(self, real: Tensor, fake: Tensor) -> Tensor:
        return real


@final
class R2(_ZeroCentred):
    """gamma / 2 * E |grad D(G(z))|^2 on generated images (Mescheder et al. 2018, Eq. 10).

    Args:
        gamma: 0 or more, or a ramp over images seen.
    """

    name = "r2"

    def images(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake


@final
class Lazy(Regularizer):
    """Another regularizer at every k-th step only, with k times its weight, so that the mean gradient stays the same
    (Karras et
    al. 2020, Appendix B).

    Args:
        regularizer: the other one.
        every: k, 1 or more.
    """

    def __init__(self, regularizer: Regularizer, every: int = 16) -> None:
        check_counts("regularizer", limit=IMAGE_LIMIT, every=every)
        self.regularizer, self.every, self.name = regularizer, every, regularizer.name

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor, count: StepCount) -> Tensor | None:
        if count.step % self.every:
            return None
        found = self.regularizer.penalty(critic, real, fake, count)
        return None if found is None else self.every * found

    def settle(self, count: StepCount, device: torch.device) -> None:
        self.regularizer.settle(count, device)

    def constants(self, count: StepCount) -> Hashable:
        return () if count.step % self.every else (True, self.regularizer.constants(count))

    def project(self, network: nn.Module) -> None:
        self.regularizer.project(network)


def _check(name: str, value: float | Ramp) -> None:
    lowest = min(value.start, value.end) if isinstance(value, Ramp) else value
    if lowest < 0:
        raise UserError(f"regularizer.{name} is {lowest}: want 0 or more")
