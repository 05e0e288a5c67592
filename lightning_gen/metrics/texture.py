"""Features of fine texture that need no weights: how much of each spatial frequency is in a picture."""

import math
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, to_display
from lightning_gen.metrics.extractors import Extractor
from lightning_gen.metrics.luma import luma

__all__ = ["BlockSpectrum"]

_SIDE = 8


def _cosines() -> Tensor:
    """The 64 orthonormal basis pictures of the discrete cosine transform of 8x8 blocks, (64, 1, 8, 8), lowest first."""
    place, order = torch.arange(_SIDE), torch.arange(_SIDE)[:, None]
    rows = (math.pi * (place + 0.5) * order / _SIDE).cos() * math.sqrt(2 / _SIDE)
    rows[0] /= math.sqrt(2)
    return (rows[:, None, :, None] * rows[None, :, None, :]).view(_SIDE**2, 1, _SIDE, _SIDE)


@final
class BlockSpectrum(Extractor):
    """The log of the mean energy of each cosine of 8x8 blocks of the luma, but for their mean: 63 features that tell a
    blurred patch from a sharp one, and not what is on it.

    Args:
        spec: of the images; 1 or 3 channels, 8 pixels or more.

    Raises:
        UserError: other images.
    """

    kind = "spectrum"

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec)
        if spec.channels not in (1, 3) or min(spec.height, spec.width) < _SIDE:
            raise UserError(f"data has images of {spec}: BlockSpectrum wants 1 or 3 channels, 8x8 pixels or more")
        self.register_buffer("cosines", _cosines()[1:])

    cosines: Tensor

    @property
    def dims(self) -> int:
        return _SIDE**2 - 1

    def forward(self, image: Tensor) -> Tensor:
        y = luma(to_display(image, self.spec.levels)).float()
        return (1 + conv2d(y, self.cosines, stride=_SIDE // 2).square().mean((2, 3))).log()
