"""Blocks of images, and numbers about them collected over processes.

Images are drawn and read in blocks of `BLOCK`. Block b, its noise, its labels and its dequantization, is a function of
(seed, b) alone, and process r of w takes the blocks with b mod w = r. What is collected from them is one number or one
row of features per image, put in its place in a tensor of zeros that is summed over processes: x + 0 is x, so every
process ends with bit for bit what one process alone would have.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import GenerativeModule, ImageData, Split
from lightning_gen.distributed import rank_and_world, sum_over_processes

__all__ = [
    "BLOCK",
    "block_count",
    "collect",
    "read_block",
    "sample_block",
    "sample_blocks",
    "seeded",
    "seeded_generator",
    "untouched",
]

#: The caller's batch size, the number of processes and the device's memory must not change a single pixel.
BLOCK = 64


def _seed(seed: int, block: int) -> int:
    return (seed * 1_000_003 + block) % 2**63


@contextmanager
def untouched(device: torch.device) -> Iterator[None]:
    """Leave the global generators of the CPU and of `device` as if nothing had been drawn inside: whatever watches a
    training draws nothing from it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextmanager
def seeded(device: torch.device, seed: int, block: int) -> Iterator[None]:
    """Put the global generators at (seed, block) inside; leave them outside as if nothing had been drawn."""
    with untouched(device):
        torch.manual_seed(_seed(seed, block))
        yield


def seeded_generator(seed: int, block: int) -> torch.Generator:
    """Make the generator of block `block`, on the CPU, so that one seed means the same on every device."""
    return torch.Generator().manual_seed(_seed(seed, block))


def sample_block(
    module: GenerativeModule, block: int, seed: int = 0, temperature: float = 1.0, condition: Batch | None = None
) -> Tensor:
    """Draw samples block*BLOCK to (block+1)*BLOCK, uint8 (BLOCK, C, H, W): a function of (seed, block) alone, and of
    the condition, of BLOCK rows (None: drawn)."""
    return module.sample(BLOCK, condition, temperature, seeded_generator(seed, block))


@torch.no_grad()
def sample_blocks(module: GenerativeModule, images: int, seed: int = 0, temperature: float = 1.0) -> Iterator[Tensor]:
    """Draw exactly `images` samples, in blocks; the last one may be smaller."""
    for block, start in enumerate(range(0, images, BLOCK)):
        yield sample_block(module, block, seed, temperature)[: images - start]


def read_block(data: ImageData, split: Split, block: int) -> Batch:
    """Read the images block*BLOCK to (block+1)*BLOCK of `split`; the last block may be smaller."""
    return next(data.batches(split, BLOCK, block * BLOCK, (block + 1) * BLOCK))


def block_count(images: int) -> int:
    """Count how many blocks of `images` this process works on."""
    rank, world = rank_and_world()
    return len(range(rank, -(-images // BLOCK), world))


def collect(
    count: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    block: Callable[[int], Tensor],
    step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Collect one row per image from all processes.

    Args:
        count: N, number of images.
        shape: of a row.
        dtype: of the result.
        block: block index -> rows (BLOCK, *shape); those beyond N are not looked at.
        step: called after each block of this process.

    Returns:
        (N, *shape), complete on every process.
    """
    rank, world = rank_and_world()
    out: Tensor | None = None
    for index in range(rank, -(-count // BLOCK), world):
        rows = block(index).to(dtype)
        out = torch.zeros(count, *shape, dtype=dtype, device=rows.device) if out is None else out
        out[index * BLOCK : (index + 1) * BLOCK] = rows[: count - index * BLOCK]
        step()
    out = torch.zeros(count, *shape, dtype=dtype) if out is None else out
    return sum_over_processes(out)
