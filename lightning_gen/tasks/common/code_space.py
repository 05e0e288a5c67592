"""The space where axes are looked for: the vector of which a model's image is the smoothest function."""

import torch
from torch import Generator, Tensor

from lightning_gen.contracts import GenerativeModule, ImageModule, NoiseModule, StochasticLatentModule, StyleModule
from lightning_gen.errors import UserError
from lightning_gen.tasks.common.require import require
from lightning_gen.tasks.common.vectors import generate_function
from lightning_gen.tasks.directions import entrance

__all__ = ["CodeSpace"]

_BLOCK = 32


class CodeSpace:
    """Styles of a StyleGAN, codes of a VAE, noise of another GAN.

    Args:
        module: in eval mode.

    Raises:
        UserError: its images come from no vector, or it has a condition.
    """

    def __init__(self, module: ImageModule) -> None:
        self.module = require(module, GenerativeModule)
        self.generate = generate_function(self.module)
        if module.condition_keys:
            raise UserError(
                f"{type(module).__name__} has a condition: want a model without, whose codes say everything"
            )
        self.name = "w" if isinstance(module, StyleModule) else "z"

    @torch.no_grad()
    def draw(self, n: int, seed: int, truncation: float = 1.0) -> Tensor:
        """Draw codes, (n, K).

        Args:
            n: number of codes.
            seed: of all randomness.
            truncation: share of their distance from the mean code that is left.
        """
        generator = Generator().manual_seed(seed)
        module = self.module
        if isinstance(module, StyleModule):
            z = torch.randn(n, module.latent_dim, generator=generator)
            return module.truncate(module.styles(z), truncation)
        if isinstance(module, StochasticLatentModule):
            return truncation * module.draw_prior(n, generator=generator)
        assert isinstance(module, NoiseModule)
        return truncation * torch.randn(n, module.latent_dim, generator=generator)

    @torch.no_grad()
    def images(self, codes: Tensor) -> Tensor:
        """(N, K) -> uint8 (N, C, H, W), the same each time."""
        make = self.module.render if isinstance(self.module, StyleModule) else lambda z: self.generate(z, None)
        return torch.cat([make(part) for part in codes.split(_BLOCK)])

    @torch.no_grad()
    def entrance(self, dims: int) -> Tensor:
        """The weights that a code of K = `dims` meets first, (F, K); of a StyleGAN those of all its layers (Shen and
        Zhou 2021, Section 3)."""
        if isinstance(self.module, StyleModule):
            return self.module.style_weights
        return entrance(self.module, self.generate, dims)
