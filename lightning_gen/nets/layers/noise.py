"""Noise inside a network that stays in use, drawn by a given generator."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import dropout

__all__ = ["LastingDropout", "drawn_from", "replace_dropout"]


class LastingDropout(nn.Module):
    """Dropout in training and in use alike.

    Args:
        share: of the values left out, 0 or more, below 1.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.share, training=True)


def replace_dropout(net: nn.Module) -> int:
    """Put a `LastingDropout` in the place of every dropout of a network that leaves out anything; return how many."""
    count = 0
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout) and child.p > 0:
                setattr(parent, name, LastingDropout(child.p))
                count += 1
    return count


@contextmanager
def drawn_from(generator: Generator | None, device: torch.device) -> Iterator[None]:
    """Let the noise of a network follow from `generator` inside, and leave the global generators as they were; None:
    the noise is drawn from them."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(1 << 62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
