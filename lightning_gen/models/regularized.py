"""What the GANs share whose discriminator has regularizers."""

from collections.abc import Hashable, Sequence

from torch import Tensor

from lightning_gen.contracts import AdversarialModule, PlayerName
from lightning_gen.losses.penalties import Critic, Regularizer, StepCount, penalty_terms

__all__ = ["RegularizedModule"]


class RegularizedModule(AdversarialModule):
    """A discriminator with regularizers. A subclass sets `regularizers`, and adds `penalties` to its losses."""

    #: of the discriminator
    regularizers: Sequence[Regularizer]

    def penalties(self, critic: Critic, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Compute the terms of the present step by name; see `penalty_terms`."""
        # Mixed precision generates in 16 bits.
        return penalty_terms(self.regularizers, critic, real, fake.to(real.dtype), self._count)

    @property
    def _count(self) -> StepCount:
        return StepCount(self.steps_made["discriminator"], self.images_seen)

    def settle(self) -> None:
        for regularizer in self.regularizers:
            regularizer.settle(self._count, self.device)

    def step_constants(self) -> Hashable:
        return tuple(regularizer.constants(self._count) for regularizer in self.regularizers)

    def after_step(self, player: PlayerName) -> None:
        if player == "discriminator":
            for regularizer in self.regularizers:
                regularizer.project(self.discriminator)
