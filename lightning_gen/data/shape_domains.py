"""Two drawn domains of shapes that differ in one attribute, so that unpaired translation has an exact score."""

import hashlib
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.memory import update
from lightning_gen.data.rows import MemoryRows, Rows
from lightning_gen.data.shapes import ATTRIBUTES, KINDS, draw_attributes, render
from lightning_gen.data.unpaired import UnpairedImages
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["ShapeDomains"]

#: what is changed -> the columns of `ATTRIBUTES` that it sets, and their values in the source and the target domain
_CHANGES = {
    "hue": (("hue_cos", "hue_sin"), (1.0, 0.0), (-0.5, -(3**0.5) / 2)),  # red, blue
    "background": (("background",), (0.1,), (0.9,)),
}
#: validation and test pairs
_HELD_OUT = 256


@final
class ShapeDomains(UnpairedImages):
    """Coloured shapes in two domains, RGB: red and blue shapes, or a dark and a light background. All else has the same
    distribution in both: class, size, place, rotation and the other colour.

    The training pictures of both domains are drawn independently: none has its counterpart. In val and test, 256 pairs
    each, ``image`` is the true counterpart of ``source``: the same shape with the other attribute.

    Args:
        size: height and width, 8 to 64 pixels.
        images: training pictures of each domain, 1 or more.
        change: attribute in which the domains differ.
        batch_size: see `IndexedImages`, as are `seed`, `augment` and `on_device`.
    """

    def __init__(
        self,
        size: int = 32,
        images: int = 1000,
        change: Literal["hue", "background"] = "hue",
        batch_size: int = 4,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        if not 8 <= size <= 64:
            raise UserError(f"data.size is {size}: want 8 to 64 pixels")
        check_counts("data", limit=10_000_000, images=images)
        super().__init__(batch_size, seed, augment, on_device)
        self.side, self.images, self.change = size, images, change

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(3, self.side, self.side, source=ImageSpec(3, self.side, self.side))

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"shapes_{self.change}"

    def paired_in(self, split: Split) -> bool:
        return split != "train"

    @cached_property
    def _pictures(self) -> dict[Split, tuple[Tensor, Tensor]]:
        """Both domains of each split, uint8 (N, 3, size, size) each."""
        held_out: dict[Split, int] = {"val": 3, "test": 4}
        train = (self._draw(self.images, 1, into=False), self._draw(self.images, 2, into=True))
        pairs = {
            split: (self._draw(_HELD_OUT, seed, into=False), self._draw(_HELD_OUT, seed, into=True))
            for split, seed in held_out.items()
        }
        return {"train": train, **pairs}

    def _draw(self, count: int, seed: int, into: bool) -> Tensor:
        """Draw shapes of the target domain (`into`) or of the source domain, equal in all else for equal seeds."""
        bits = torch.randint(1 << 24, (count, 8), generator=torch.Generator().manual_seed(seed))
        kind = bits[:, 0] % len(KINDS)
        attributes = draw_attributes(kind, bits[:, 1:].double() / (1 << 24))
        columns, source, target = _CHANGES[self.change]
        attributes[:, [ATTRIBUTES.index(name) for name in columns]] = torch.tensor(target if into else source)
        return torch.cat([render(k, a, self.side) for k, a in zip(kind.split(512), attributes.split(512), strict=True)])

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr(self.spec).encode())
        for split, domains in sorted(self._pictures.items()):
            for side, pictures in zip(("source", "image"), domains, strict=True):
                digest.update(f"{split}.{side}".encode())
                update(digest, pictures)
        return digest.hexdigest()[:16]

    def domains(self, split: Split) -> tuple[Rows, Rows]:
        source, image = self._pictures[split]
        return MemoryRows({"image": source}), MemoryRows({"image": image})

    @property
    def exact_names(self) -> tuple[str, ...]:
        return ("attribute_accuracy",)

    def exact(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """1 where the attribute has been changed by the right amount, else 0.

        The amount is the share t of the way from the source s to the truth y that the output x has gone along their
        difference, t = <x - s, y - s> / |y - s|^2. It is 0 for the source itself and 1 for the truth; right is 0.75 to
        1.25. What else has changed does not count here: `l1` tells it.
        """
        x, s, y = (v.double().flatten(1) for v in (output, batch["source"], batch["image"]))
        share = ((x - s) * (y - s)).sum(1) / (y - s).square().sum(1).clamp(min=1.0)
        return {"attribute_accuracy": ((share - 1).abs() <= 0.25).double()}
