"""Autoregressive maps over the patches of an image (Zhai et al. 2025, TarFlow)."""

from collections.abc import Callable
from typing import final

from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from lightning_gen.bijections.base import Bijection, Compose, layer_range
from lightning_gen.bijections.primitives.autoregressive import Reverse, sequential
from lightning_gen.bijections.primitives.elementwise import Logit
from lightning_gen.bijections.primitives.multiscale import Flatten
from lightning_gen.bijections.primitives.univariate import Affine, Univariate
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

__all__ = ["AutoregressivePatches", "PatchNet", "Patches", "TarFlow"]

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
        self.net, self.univariate = sequential(net), univariate

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = self.univariate(x.mT, self.net(x, context).to(x.dtype).mT)
        return z.mT, log_det.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        def choose(n: int, raw: Tensor) -> Tensor:
            return self.univariate.inverse(z[:, n : n + 1].mT, raw.to(z.dtype).mT).mT

        return self.net.decode_sequentially(len(z), choose, context)


@final
class TarFlow(Compose):
    """Autoregressive maps over patches by transformers, the order reversed between them (Zhai et al. 2025).
    The logit in front is ours; the paper feeds pixels and noise as they are.

    Args:
        spec: of the images.
        context_dim: K; 0: no context.
        net: see `lightning_gen.bijections.tarflow.PatchNet`.
        univariate: makes the map of an element.
        patch: side of a patch; divides the sides of the image.
        layers: number of maps, 1 or more.
        alpha: of the logit in front.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        context_dim: int,
        net: PatchNet,
        univariate: Callable[[], Univariate] = Affine,
        patch: int = 2,
        layers: int = 4,
        alpha: float = 0.05,
    ) -> None:
        patches = Patches(spec.shape, patch)
        values = spec.channels * patch**2
        count = spec.dims // values

        def layer() -> Bijection:
            map_ = univariate()
            return AutoregressivePatches(net(count, values, context_dim, map_.parameters_per_element * values), map_)

        stack = [(layer(), Reverse()) for _ in layer_range(layers)]
        super().__init__(Logit(alpha), patches, *(part for pair in stack for part in pair), Flatten((count, values)))
