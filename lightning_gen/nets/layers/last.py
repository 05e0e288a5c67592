"""Last layers that keep 32 bits under autocast: a logit in bfloat16 has three digits, too few for a difference."""

from typing import final

from torch import Tensor, nn

from lightning_gen.precision import at_least_float32, full_precision

__all__ = ["LastConv2d", "LastLinear"]


@final
class LastLinear(nn.Linear):
    """A linear map in float32 or more, whatever the precision of its input."""

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            return super().forward(at_least_float32(x))


@final
class LastConv2d(nn.Conv2d):
    """A convolution in float32 or more, whatever the precision of its input."""

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            return super().forward(at_least_float32(x))
