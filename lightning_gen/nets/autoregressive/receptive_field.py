"""What a configured network sees of the pixels before a pixel: by gradients, so whatever its layers are."""

import copy
import sys

import torch
from torch import Tensor, nn

from lightning_gen.images import ImageSpec
from lightning_gen.nets.autoregressive.causal import CausalNet

__all__ = ["describe_receptive_field", "pixels_seen", "say_receptive_field"]

Pixel = tuple[int, int]


def pixels_seen(net: CausalNet, image: ImageSpec, pixels: list[Pixel], context: int = 0, draws: int = 2) -> Tensor:
    """Find which pixels the parameters of some pixels depend on.

    Args:
        net: is copied; the copy has other weights, so that the answer is about the architecture.
        image: spec of what the network sees.
        pixels: row and column of each, P of them.
        context: K, length of what the network is conditioned on.
        draws: of weights and images; a rectifier hides some paths at each.

    Returns:
        bool (P, H, W).
    """
    chance = torch.Generator().manual_seed(0)
    seen = torch.zeros(len(pixels), image.height, image.width, dtype=torch.bool)
    for _ in range(draws):
        other = _with_other_weights(net, chance)
        x = torch.randn(1, *image.shape, generator=chance, dtype=torch.float64).requires_grad_()
        given = torch.randn(1, context, generator=chance, dtype=torch.float64) if context else None
        with torch.enable_grad():
            raw = other(x, given)  # (1, P, H, W)
            for i, (row, column) in enumerate(pixels):
                (gradient,) = torch.autograd.grad(raw[0, :, row, column].sum(), x, retain_graph=True)
                seen[i] |= (gradient[0] != 0).any(0)
    return seen


def _with_other_weights(net: CausalNet, chance: torch.Generator) -> nn.Module:
    """A copy in float64, whose weights are of a size that neither fades nor explodes."""
    other = copy.deepcopy(net).cpu().double().eval().requires_grad_(False)
    for p in other.parameters():
        inputs = max(1, p[0].numel()) if p.ndim > 1 else 1
        p.copy_(torch.randn(p.shape, generator=chance, dtype=p.dtype) / inputs**0.5)
    return other


def describe_receptive_field(net: CausalNet, image: ImageSpec, context: int = 0) -> str:
    """Say in one line how many of the pixels before them the first, middle and last pixel of the last row see; the
    first sees least where a network has a blind spot to the upper right."""
    row, columns = image.height - 1, sorted({0, image.width // 2, image.width - 1})
    seen = [
        int(found.flatten()[: row * image.width + column].sum())
        for column, found in zip(
            columns, pixels_seen(net, image, [(row, column) for column in columns], context), strict=True
        )
    ]
    before = [row * image.width + column for column in columns]
    shares = ", ".join(f"{a:,} of {b:,}" for a, b in zip(seen, before, strict=True))
    numbers = [str(column + 1) for column in columns]
    places = " and ".join([", ".join(numbers[:-1]), numbers[-1]] if len(numbers) > 1 else numbers)
    return (
        f"{type(net).__name__} at {image.height}x{image.width}: of the last row the pixels {places} see {shares} before"
    )


def say_receptive_field(first_process: bool, net: CausalNet, image: ImageSpec, context: int = 0) -> None:
    """Print `describe_receptive_field` on stderr, in the first process; nothing of a network that is sharded over
    processes, of which none holds the whole."""
    if first_process and all(type(p.data) is Tensor for p in net.parameters()):
        print(f"lightning-gen: {describe_receptive_field(net, image, context)}", file=sys.stderr)
