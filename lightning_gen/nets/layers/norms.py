"""Normalisation layers under one signature, (x, context): plain, none, and conditional."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

from torch import Tensor, nn

from lightning_gen.errors import UserError, check_counts

__all__ = ["BatchNorm", "ConditionalBatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "NoNorm", "Norm"]


class Norm(nn.Module, ABC):
    """(B, C, H, W) and a context (B, K) or None -> (B, C, H, W).

    Args:
        channels: C.
        features: K; 0 where there is no context.
    """

    #: whether it adds a learned shift, so that a convolution before it needs none
    shifts: ClassVar[bool] = True
    #: whether it uses the context
    conditional: ClassVar[bool] = False

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Normalise; the shape stays."""


@final
class NoNorm(Norm):
    """x as it is: what a gradient penalty wants in the critic."""

    shifts = False

    def __init__(self, channels: int, features: int = 0) -> None:
        super().__init__()

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x


@final
class BatchNorm(Norm):
    """Over the batch and all pixels (Ioffe and Szegedy 2015). In several processes each has its own batch, unless
    ``--trainer.sync_batchnorm true`` joins them (GPUs only)."""

    def __init__(self, channels: int, features: int = 0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.norm(x)


@final
class GroupNorm(Norm):
    """Over groups of channels of one image (Wu and He 2018): independent of the batch.

    Args:
        channels: C.
        features: not used.
        groups: as many as divide C, at most.
    """

    def __init__(self, channels: int, features: int = 0, groups: int = 8) -> None:
        super().__init__()
        check_counts("norm", groups=groups)
        groups = next(g for g in range(min(groups, channels), 0, -1) if channels % g == 0)
        self.norm = nn.GroupNorm(groups, channels)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.norm(x)


@final
class InstanceNorm(Norm, nn.InstanceNorm2d):
    """Over the pixels of each channel of one image, with weights and without running statistics (Ulyanov et al. 2016):
    a network does the same in training, in use and exported, at any batch size. It takes away how bright an image is as
    a whole: where levels of flat areas matter, `LayerNorm` keeps them."""

    def __init__(self, channels: int, features: int = 0) -> None:
        nn.InstanceNorm2d.__init__(self, channels, affine=True)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return nn.InstanceNorm2d.forward(self, x)


@final
class LayerNorm(Norm):
    """Over all channels and pixels of one image (Ba et al. 2016), the choice of Gulrajani et al. 2017 for critics."""

    def __init__(self, channels: int, features: int = 0) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.norm(x)


@final
class ConditionalBatchNorm(Norm):
    """Batch norm whose scale and shift are linear in the context (de Vries et al. 2017, Eq. 5-6; Miyato and Koyama
    2018); plain batch norm at start.

    Args:
        channels: C.
        features: K, 1 or more.

    Raises:
        UserError: there is no context.
    """

    conditional = True

    def __init__(self, channels: int, features: int = 0) -> None:
        super().__init__()
        if not features:
            raise UserError("norm ConditionalBatchNorm has no condition to look at: want model.condition, e.g. Label")
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.affine = nn.Linear(features, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        assert context is not None
        scale, shift = self.affine(context)[:, :, None, None].chunk(2, 1)
        return (1.0 + scale) * self.norm(x) + shift
