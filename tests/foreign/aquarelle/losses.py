"""A loss: a subclass of the contract."""

from collections.abc import Callable

from torch import Tensor

from lightning_gen.losses.adversarial import AdversarialLoss


class Absolute(AdversarialLoss):
    """Least squares without the squares."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return (real - 1.0).abs().mean() + fake.abs().mean()

    def generator(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        return (fake - 1.0).abs().mean()
