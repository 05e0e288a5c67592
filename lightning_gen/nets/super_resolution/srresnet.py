"""SRResNet (Ledig et al. 2017, Figure 4): residual blocks at the small size, then the enlargement."""

from typing import final

from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.super_resolution.upscaler import Enlarge, ShuffledConvolution, Upscaler, enlargement, shrink

__all__ = ["PaperSRResNet", "SRResNet"]


def _conv(into: int, out: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(into, out, kernel, padding=kernel // 2)


class _Residual(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


@final
class SRResNet(Upscaler):
    """Without batch norm, and with the bilinearly enlarged source added to the output, as later work has it (Lim et al.
    2017, Section 3.1): training and use are the same function, and the colours are right from the start.

    Args:
        spec: see `Upscaler`.
        width: channels.
        blocks: residual blocks, 1 or more.
        enlarge: `ShuffledConvolution` or `NearestConvolution`.
    """

    def __init__(
        self, spec: ImageSpec, width: int = 64, blocks: int = 16, enlarge: Enlarge = ShuffledConvolution
    ) -> None:
        super().__init__(spec)
        check_counts("generator", width=width, blocks=blocks)
        self.head = nn.Sequential(_conv(spec.channels, width), nn.LeakyReLU(0.1))
        self.blocks = nn.Sequential(
            *(_Residual(_conv(width, width), nn.ReLU(), _conv(width, width)) for _ in range(blocks))
        )
        self.enlarge = enlargement(width, self.scale, enlarge, lambda: nn.LeakyReLU(0.1))
        self.tail = nn.Sequential(_conv(width, width), nn.LeakyReLU(0.1), _conv(width, spec.channels))
        for part in (self.blocks, self.tail[-1:]):
            shrink(part)

    @property
    def radius(self) -> int:
        return 2 * len(self.blocks) + 5  # the head, at most 3 of the enlargement, 1 of the tail and of the skip

    def forward(self, source: Tensor) -> Tensor:
        skip = interpolate(source, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return skip + self.tail(self.enlarge(self.blocks(self.head(source))))


@final
class PaperSRResNet(Upscaler):
    """As in the paper: batch norm, a skip around all blocks, 9x9 convolutions at both ends, PReLU. In use the norms
    have the statistics of small crops, which large flat areas do not have: colours may be off there.

    Args:
        spec: see `Upscaler`.
        width: channels.
        blocks: residual blocks, 1 or more.
    """

    def __init__(self, spec: ImageSpec, width: int = 64, blocks: int = 16) -> None:
        super().__init__(spec)
        check_counts("generator", width=width, blocks=blocks)
        self.head = nn.Sequential(_conv(spec.channels, width, 9), nn.PReLU())
        norm = nn.BatchNorm2d
        inner = [
            _Residual(_conv(width, width), norm(width), nn.PReLU(), _conv(width, width), norm(width))
            for _ in range(blocks)
        ]
        self.blocks = _Residual(*inner, _conv(width, width), norm(width))
        self.enlarge = enlargement(width, self.scale, ShuffledConvolution, nn.PReLU)
        self.tail = _conv(width, spec.channels, 9)

    @property
    def radius(self) -> int:
        return 2 * (len(self.blocks.layers) - 2) + 10  # 4 of the head, 1 after the blocks, 5 of the rest

    def forward(self, source: Tensor) -> Tensor:
        return self.tail(self.enlarge(self.blocks(self.head(source))))
