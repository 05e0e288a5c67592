"""The vector that an image comes from: the standard normal noise of a GAN, a code of a VAE's prior."""

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import GenerativeModule, NoiseModule, StochasticLatentModule
from lightning_gen.errors import UserError

__all__ = [
    "Generate",
    "check_labels",
    "condition_rows",
    "draw_vectors",
    "generate_function",
    "slerp",
    "truncated_normal",
]

#: vectors (N, Z) and N rows of the condition, None for a model without -> uint8 (N, C, H, W)
Generate = Callable[[Tensor, Batch | None], Tensor]


def generate_function(module: GenerativeModule) -> Generate:
    """Find what makes images of vectors; raises where the model's images come from none."""
    if isinstance(module, NoiseModule):
        return module.generate
    if isinstance(module, StochasticLatentModule):
        return module.decode
    raise UserError(f"{type(module).__name__} has no vector that its images come from: want a GAN or a VAE")


def check_labels(module: GenerativeModule, labels: Sequence[int]) -> None:
    """Raise where the model cannot be conditioned on the classes that the user wants."""
    if labels and "label" not in module.condition_keys:
        raise UserError(f"--label {labels[0]} given: this {type(module).__name__} is not conditioned on labels")
    if labels and max(labels) >= module.spec.classes:
        raise UserError(f"--label {max(labels)} given: want 0 to {module.spec.classes - 1}")


def condition_rows(module: GenerativeModule, n: int, given: Batch | None, generator: Generator) -> Batch | None:
    """Choose the condition of n images: what was given, else as the model draws it; raises where it draws none."""
    if given is not None:
        return given
    if isinstance(module, NoiseModule):
        return module.draw_condition(n, generator)
    if module.condition_keys:
        raise UserError(f"{type(module).__name__} has a condition: want --label with it")
    return None


def draw_vectors(
    module: GenerativeModule,
    n: int,
    condition: Batch | None,
    generator: Generator,
    temperature: float = 1.0,
    bound: float = float("inf"),
) -> Tensor:
    """Draw (n, Z) as `GenerativeModule.sample` would draw them for these n rows of the condition; noise within
    `bound`."""
    if isinstance(module, StochasticLatentModule):
        return module.draw_prior(n, condition, temperature, generator)
    assert isinstance(module, NoiseModule)
    return temperature * truncated_normal(n, module.latent_dim, bound, generator)


def truncated_normal(n: int, dims: int, bound: float, generator: Generator) -> Tensor:
    """Draw float32 (n, dims), standard normal given that no component is larger than `bound` in size: what redrawing
    the larger ones gives (Brock et al. 2019, Section 3.1), here by the inverse of the distribution function."""
    below = torch.special.ndtr(torch.tensor(-bound, dtype=torch.float64))
    uniform = torch.rand(n, dims, generator=generator, dtype=torch.float64)
    inside = below + (1 - 2 * below) * uniform.clamp(1e-12, 1 - 1e-12)
    return torch.special.ndtri(inside).float()


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Interpolate, (N, Z) and (N, Z) -> the point at `share` of the great circle from a to b (White 2016, Eq. 1): noise
    between two noises keeps their length, where that of the straight line's middle is one that training never
    showed."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1)
    angle = cosine.acos()[:, None]
    line = (1 - share) * a + share * b
    arc = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin().clamp(min=1e-12)
    return torch.where(angle.sin() < 1e-4, line, arc)
