"""Spectral normalisation of a whole discriminator."""

from collections.abc import Callable
from typing import final

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import cached

from lightning_gen.batches import Batch
from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.discriminator import Discriminator, DiscriminatorOutput
from lightning_gen.precision import full_precision

__all__ = ["SpectralNorm"]


@final
class SpectralNorm(Discriminator):
    """Every convolution, linear map and embedding divided by its largest singular value (Miyato et al. 2018, Eq. 8),
    which one step of power iteration per call follows (Algorithm 1).

    Args:
        spec: of the images.
        discriminator: called with (spec); without norms of its own, which would undo the bound.
        iterations: of the power iteration per call, 1 or more.
    """

    def __init__(
        self, spec: ImageSpec, discriminator: Callable[[ImageSpec], Discriminator], iterations: int = 1
    ) -> None:
        super().__init__()
        check_counts("discriminator", iterations=iterations)
        self.net = discriminator(spec)
        self.keys = self.net.keys
        kinds = (nn.Conv2d, nn.Linear, nn.Embedding)
        self.normed = [module for module in self.net.modules() if isinstance(module, kinds)]
        for module in self.normed:
            spectral_norm(module, n_power_iterations=iterations)

    def forward(self, x: Tensor, batch: Batch | None = None) -> DiscriminatorOutput:
        with cached():
            with full_precision(x):  # under autocast the singular values would have three digits
                for module in self.normed:
                    _ = module.weight
            return self.net(x, batch)
