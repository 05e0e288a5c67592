"""A network that reads off a picture what its caption says; it learns from drawn pictures of known attributes."""

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import final

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from lightning_gen.errors import check_counts
from lightning_gen.images import ImageSpec, halvings, to_signed
from lightning_gen.metrics.extractors import minimise, repeatable, weights_hash
from lightning_gen.threads import computing_threads

__all__ = ["AttributeJudge", "Judge", "fit_judge"]

#: pictures in each batch that it learns from
_BATCH = 64
#: that draw pictures while it learns
_THREADS = min(8, os.cpu_count() or 1)


class Judge(nn.Module, ABC):
    """uint8 (B, C, H, W) -> the likeliest word for each attribute, int64 (B, P).

    Args:
        spec: of the images.
        words: for each attribute, how many there are.
        batches: that it learns from.
    """

    def __init__(self, spec: ImageSpec, words: Sequence[int], batches: int) -> None:
        super().__init__()
        check_counts("judge", limit=1_000_000, batches=batches)
        self.spec, self.words, self.batches = spec, list(words), batches

    @abstractmethod
    def body(self, x: Tensor) -> Tensor:
        """Signed (B, C, H, W) -> features (B, D)."""

    @abstractmethod
    def scores(self, x: Tensor) -> tuple[Tensor, ...]:
        """Signed (B, C, H, W) -> scores of the words of each attribute, (B, V) each."""

    def features(self, image: Tensor) -> Tensor:
        """uint8 (B, C, H, W) -> (B, D)."""
        return self.body(to_signed(image, self.spec.levels))

    def forward(self, image: Tensor) -> Tensor:
        return torch.stack([part.argmax(1) for part in self.scores(to_signed(image, self.spec.levels))], 1)

    @property
    def label(self) -> str:
        """``judge-hash8``: what the names of its numbers end with."""
        return f"judge-{weights_hash(self)}"


@final
class AttributeJudge(Judge):
    """Strided convolutions, and a fully connected layer: places count.

    Args:
        spec: of the images.
        words: for each attribute, how many there are.
        width: channels of the first layer.
        batches: that it learns from.
    """

    def __init__(self, spec: ImageSpec, words: Sequence[int], width: int = 16, batches: int = 1500) -> None:
        super().__init__(spec, words, batches)
        check_counts("judge", width=width)
        stages = halvings(spec)
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
        for i in range(stages):
            out = width * min(4, 2 << i)
            layers += [nn.Conv2d(channels, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        places = channels * (spec.height >> stages) * (spec.width >> stages)
        self.layers = nn.Sequential(*layers, nn.Flatten(1), nn.Linear(places, 128), nn.BatchNorm1d(128), nn.ReLU())
        self.heads = nn.Linear(128, sum(words))

    def body(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def scores(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.heads(self.layers(x)).split(self.words, 1)


def fit_judge(
    net: Judge, draw: Callable[[int, int], tuple[Tensor, Tensor]], device: torch.device | str = "cpu"
) -> Judge:
    """Train a judge with seeds of its own; on a CPU, the same weights on the same machine. Pictures get noise of random
    strength, as those that it will judge are not clean.

    Args:
        net: its shape is kept, its weights are not.
        draw: called with (count, seed), gives pictures uint8 and their words int64 (count, P), new ones for each seed;
            several threads call it.
        device: where it learns.
    """
    chance = Generator(device).manual_seed(0)
    with repeatable():
        net = deepcopy(net).train().requires_grad_(True)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.BatchNorm1d):
                module.reset_parameters()
        net, drawn = net.to(device), _ahead(draw, 1_000_001, net.batches)

        def loss() -> Tensor:
            image, target = (part.to(device) for part in next(drawn))
            x = to_signed(image, net.spec.levels)
            strength = 0.1 * torch.rand(_BATCH, 1, 1, 1, generator=chance, device=device)
            parts = net.scores(x + strength * torch.randn(x.shape, generator=chance, device=device))
            return torch.stack([cross_entropy(part, target[:, i]) for i, part in enumerate(parts)]).sum()

        minimise(net, loss, 3e-3, net.batches)
    return net.cpu().eval().requires_grad_(False)


def _ahead(
    draw: Callable[[int, int], tuple[Tensor, Tensor]], first: int, count: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw batches of the seeds `first` to `first + count` in order, some of them ahead of time."""
    with computing_threads(_THREADS) as pool:
        waiting = deque(pool.submit(draw, _BATCH, first + i) for i in range(min(count, 2 * _THREADS)))
        for i in range(len(waiting), count + len(waiting)):
            yield waiting.popleft().result()
            if i < count:
                waiting.append(pool.submit(draw, _BATCH, first + i))
