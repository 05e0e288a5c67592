"""The space where axes are looked for: the vector of which a model's image is the smoothest function."""

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import GenerativeModule, ImageModule, NoiseModule, StochasticLatentModule, StyleModule
from lightning_gen.errors import UserError
from lightning_gen.tasks.common.require import require
from lightning_gen.tasks.common.vectors import check_labels, generate_function
from lightning_gen.tasks.directions import entrance

__all__ = ["CodeSpace"]

_BLOCK = 32
#: numbers of a code: their covariance has as many squared
_LARGEST = 4096


class CodeSpace:
    """Styles of a StyleGAN, codes of a VAE, noise of another GAN or of a flow.

    Args:
        module: in eval mode.
        label: class of all images, of a model that is conditioned on classes.

    Raises:
        UserError: its images come from no vector, or one of more than 4,096 numbers; it has a condition, and no label
            is given, or a label and it has none.
    """

    def __init__(self, module: ImageModule, label: int | None = None) -> None:
        self.module = require(module, GenerativeModule)
        self.generate = generate_function(self.module)
        check_labels(self.module, [] if label is None else [label])
        if module.condition_keys and (label is None or module.condition_keys != ("label",)):
            keys = ", ".join(module.condition_keys)
            raise UserError(f"{type(module).__name__} is conditioned on {keys}: want one on classes, with --label")
        self.name, self.label = "w" if isinstance(module, StyleModule) else "z", label
        if isinstance(module, NoiseModule) and module.latent_dim > _LARGEST:
            raise UserError(
                f"{type(module).__name__} has codes of {module.latent_dim} numbers: want {_LARGEST} or fewer"
            )

    @property
    def differentiable(self) -> bool:
        """Whether `paint` has derivatives."""
        return isinstance(self.module, StyleModule)

    def paint(self, codes: Tensor) -> Tensor:
        """(N, K) -> signed images (N, C, H, W), not rounded; of a space that is differentiable."""
        assert isinstance(self.module, StyleModule)
        return self.module.paint(codes)

    def condition(self, n: int) -> Batch | None:
        """n rows of the condition; None of a model without."""
        return None if self.label is None else {"label": torch.full((n,), self.label)}

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
            return module.truncate(module.styles(z, self.condition(n)), truncation)
        if isinstance(module, StochasticLatentModule):
            return truncation * module.draw_prior(n, self.condition(n), generator=generator)
        assert isinstance(module, NoiseModule)
        return truncation * torch.randn(n, module.latent_dim, generator=generator)

    @torch.no_grad()
    def images(self, codes: Tensor) -> Tensor:
        """(N, K) -> uint8 (N, C, H, W), the same each time."""
        if isinstance(self.module, StyleModule):
            return torch.cat([self.module.render(part) for part in codes.split(_BLOCK)])
        return torch.cat([self.generate(part, self.condition(len(part))) for part in codes.split(_BLOCK)])

    @torch.no_grad()
    def entrance(self, dims: int) -> Tensor:
        """The weights that a code of K = `dims` meets first, (F, K); of a StyleGAN those of all its layers (Shen and
        Zhou 2021, Section 3)."""
        if isinstance(self.module, StyleModule):
            return self.module.style_weights
        return entrance(self.module, self.generate, dims, self.condition(1))
