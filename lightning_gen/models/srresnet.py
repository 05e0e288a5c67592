"""Super-resolution by regression: SRResNet and everything trained as it is (Ledig et al. 2017, Section 3.2)."""

from collections.abc import Callable
from typing import final

from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import DescentModule, OptimizerFactory, SuperResolutionModule
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.nets.super_resolution.upscaler import Upscaler
from lightning_gen.schedules import Schedule

__all__ = ["SRResNet"]


@final
class SRResNet(DescentModule, SuperResolutionModule):
    """The pixel loss of the enlarged source and the image.

    Its network is called ``generator``, so that `SRGAN` and `ESRGAN` can begin from a run of it (``run.start_from``).

    Args:
        spec: of the images; with a source.
        generator: called with (spec).
        optimizer: see `DescentModule`.
        pixel: called with signed outputs and images (None: mean absolute error; MSE in the paper).
        schedule: see `ImageModule`.
    """

    generator: Upscaler

    def __init__(
        self,
        spec: ImageSpec,
        generator: Callable[[ImageSpec], Upscaler],
        optimizer: OptimizerFactory,
        pixel: nn.Module | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(spec, optimizer, schedule)
        self.generator, self.pixel = generator(spec), pixel or nn.L1Loss()

    @property
    def ema_network(self) -> nn.Module:
        return self.generator

    @property
    def radius(self) -> int:
        return self.generator.radius

    def _enlarged(self, batch: Batch) -> Tensor:
        assert self.spec.source is not None
        return self.generator(to_signed(batch["source"], self.spec.source.levels))

    def batch_loss(self, batch: Batch) -> Tensor:
        return self.pixel(self._enlarged(batch), to_signed(batch["image"], self.spec.levels))

    def translate(self, batch: Batch, generator: Generator | None = None) -> Tensor:
        return from_signed(self._enlarged(batch), self.spec.levels)
