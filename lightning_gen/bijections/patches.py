"""Autoregressive maps over the patches of an image (Zhai et al. 2025, TarFlow)."""

from collections.abc import Callable
from typing import cast, final

from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from lightning_gen.bijections.autoregressive import SequentialNet
from lightning_gen.bijections.base import Bijection
from lightning_gen.bijections.univariate import Univariate
from lightning_gen.errors import UserError

__all__ = ["AutoregressivePatches", "PatchNet", "Patches"]

#: called with (patches, values of a patch, length of the context, parameters per patch)
PatchNet = Callable[[int, int, int, int], nn.Module]


@final
class Patches(Bijection):
    """(B, C, H, W) -> (B, N, D): N patches in raster order, D = C*side*side values each.

    Args:
        shape: (C, H, W).
        side: of a patch; divides H and W.

    Raises:
        UserError: `side` does not divide H and W.
    """

    def __init__(self, shape: tuple[int, int, int], side: int) -> None:
        _, height, width = shape
        if side < 1 or height % side or width % side:
            raise UserError(f"bijection.patch is {side}: want a divisor of {height} and {width} pixels")
        super().__init__()
        self.side, self.rows, self.columns = side, height // side, width // side

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return pixel_unshuffle(x, self.side).flatten(2).mT, x.new_zeros(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return pixel_shuffle(z.mT.unflatten(2, (self.rows, self.columns)), self.side)


@final
class AutoregressivePatches(Bijection):
    """z_n = f(x_n; net_n(x_1..x_(n-1), context)), n over patches, f elementwise. The inverse goes patch by patch.

    Args:
        net: a `SequentialNet` of (B, N, D) and a context to (B, N, P*D), as
            `lightning_gen.nets.flow.patch_transformer.PatchTransformer`.
        univariate: f; it says P.
    """

    def __init__(self, net: nn.Module, univariate: Univariate) -> None:
        super().__init__()
        self.net, self.univariate = cast(SequentialNet, net), univariate

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = self.univariate(x.mT, self.net(x, context).to(x.dtype).mT)
        return z.mT, log_det.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        def choose(n: int, raw: Tensor) -> Tensor:
            return self.univariate.inverse(z[:, n : n + 1].mT, raw.to(z.dtype).mT).mT

        return self.net.decode_sequentially(len(z), choose, context)
