"""The generator with its condition."""

from typing import NamedTuple, final

from torch import Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.nets.condition import Condition

__all__ = ["ConditionedGenerator", "Generated"]


class Generated(NamedTuple):
    """Signed images (B, C, H, W), and the loss of their condition, a scalar in nats, or None."""

    image: Tensor
    condition_loss: Tensor | None = None


@final
class ConditionedGenerator(nn.Module):
    """z (B, Z) and a batch -> signed images (B, C, H, W).

    Args:
        condition: of the batch, as a vector (B, K) or None.
        net: called with (z, vector).
    """

    def __init__(self, condition: Condition, net: nn.Module) -> None:
        super().__init__()
        self.condition, self.net = condition, net

    def forward(self, z: Tensor, batch: Batch | None = None) -> Generated:
        conditioning = self.condition(batch)
        return Generated(self.net(z, conditioning.vector), conditioning.loss)
