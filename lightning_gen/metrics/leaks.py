"""Whether augmentations of what a discriminator sees have leaked into what the generator makes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.metrics.extractors import Classifier, minimise, repeatable

__all__ = ["Leak", "leak"]


class Leak(NamedTuple):
    """Shares of images that a probe takes for augmented ones, 0 to 1."""

    real: float
    augmented: float
    generated: float

    @property
    def share(self) -> float:
        """Where generated images lie between real ones, 0, and augmented ones, 1; above about 0.3 they leak. It says
        nothing where the probe cannot tell the two apart."""
        return (self.generated - self.real) / max(self.augmented - self.real, 1e-6)


def leak(
    real: Tensor, generated: Tensor, augment: Callable[[Tensor], Tensor], spec: ImageSpec, steps: int = 300
) -> Leak:
    """Train a probe to tell real images from the same ones augmented, and ask it about generated images. What a probe
    says of a poor generator is of little use: its images are neither.

    Args:
        real: uint8 (N, C, H, W), of which every second one is held back.
        generated: uint8 (M, C, H, W).
        augment: of signed images.
        spec: of the images.
        steps: batches that the probe learns from.
    """
    chance = torch.Generator().manual_seed(0)
    learn, held = real[::2], real[1::2]
    with repeatable():
        net = Classifier(ImageSpec(*spec.shape, spec.levels, classes=2), width=16)
        target = torch.arange(64) % 2

        def loss() -> Tensor:
            index = torch.randint(len(learn), (64,), generator=chance)
            x = to_signed(learn[index], spec.levels)
            x = torch.where(target[:, None, None, None] > 0, augment(x).clamp(-1, 1), x)
            return cross_entropy(net.logits(net.pooled(x)), target)

        minimise(net, loss, 5e-3, steps)
        net.eval()
        with torch.no_grad():
            changed = from_signed(augment(to_signed(held, spec.levels)), spec.levels)
            return Leak(*(_share(net, image) for image in (held, changed, generated)))


def _share(net: Classifier, image: Tensor) -> float:
    found = [net.logits(net(part)).argmax(1) for part in image.split(256)]
    return float(torch.cat(found).float().mean())
