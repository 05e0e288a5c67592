"""The U-Net of Pix2Pix with its noise: dropout that stays on in use (Isola et al. 2017, Section 3)."""

from typing import final

from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.unet import UNet
from lightning_gen.nets.layers.noise import replace_dropout

__all__ = ["NoisyUNet"]


@final
class NoisyUNet(nn.Module):
    """Signed sources (B, C', H, W) -> signed images (B, C, H, W), other ones with each draw of the dropout: the paper's
    only noise, which it found to change little.

    Args:
        spec: see `UNet`, as are all others.

    Raises:
        UserError: no level has dropout: `UNet` has it in the levels of full width, from the fifth on.
    """

    def __init__(self, spec: ImageSpec, width: int = 64, depth: int | None = None, dropout: float = 0.5) -> None:
        super().__init__()
        self.net = UNet(spec, width, depth, dropout)
        if not replace_dropout(self.net):
            raise UserError(f"generator.depth is {self.net.depth}: NoisyUNet wants 6 or more, and dropout above 0")

    def forward(self, source: Tensor) -> Tensor:
        return self.net(source)
