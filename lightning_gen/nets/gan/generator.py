"""The generator with its condition."""

from typing import final

from torch import Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.nets.condition import Condition

__all__ = ["ConditionedGenerator"]


@final
class ConditionedGenerator(nn.Module):
    """z (B, Z) and a batch -> signed images (B, C, H, W).

    Args:
        condition: of the batch, as a context (B, K) or None.
        net: called with (z, context).
    """

    def __init__(self, condition: Condition, net: nn.Module) -> None:
        super().__init__()
        self.condition, self.net = condition, net

    def forward(self, z: Tensor, batch: Batch | None = None) -> Tensor:
        return self.net(z, self.condition(batch))
