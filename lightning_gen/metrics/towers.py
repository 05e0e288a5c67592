"""Towers of another run, by which pictures are matched with captions."""

from typing import final

from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.text.towers import load_towers

__all__ = ["TowersOfRun"]


@final
class TowersOfRun:
    """Vectors of length 1 of pictures and captions.

    Args:
        run: folder of a finished run of two towers, or its checkpoint.
        spec: of the images to be judged.

    Raises:
        UserError: there is no such run, or it is of other images.
    """

    def __init__(self, run: str, spec: ImageSpec) -> None:
        self.towers, self.hash = load_towers(run)
        if not self.towers.spec.fits(spec):
            raise UserError(f"evaluation.towers is {run}, of {self.towers.spec}: want one of {spec}")

    @property
    def label(self) -> str:
        """``towers-hash8``: what the names of its numbers end with."""
        return f"towers-{self.hash}"

    def of_pictures(self, image: Tensor) -> Tensor:
        """uint8 (B, C, H, W) -> (B, K), on the image's device."""
        return self.towers.to(image.device).of_pictures(image)

    def of_texts(self, texts: list[str]) -> Tensor:
        """Captions -> (B, K)."""
        return self.towers.of_texts({"text": texts})
