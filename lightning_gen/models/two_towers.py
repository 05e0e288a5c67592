"""Two towers that are trained contrastively on the captions at hand: a text encoder, and a judge of pictures, that need
no download (after Radford et al. 2021, and the sentence part of Xu et al. 2018)."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import DescentModule, ImageData, OptimizerFactory, RetrievalModule
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.losses.contrastive import text_image_nce
from lightning_gen.losses.matching import equal_rows
from lightning_gen.nets.text.towers import Towers
from lightning_gen.schedules import Schedule

__all__ = ["TwoTowers"]


@final
class TwoTowers(DescentModule, RetrievalModule):
    """Minimise `text_image_nce` over batches of pictures and captions. In several processes each compares the pairs of
    its own batch.

    Args:
        spec: of the images; with captions.
        optimizer: called with the parameters.
        features: see `Towers`, as are `words`, `length` and `width`.
        words: that it knows at most.
        length: words of a caption that are read.
        width: of the picture's tower.
        gamma: factor of the cosines, above 0.
        schedule: of the learning rate (None: constant).
    """

    condition_keys = ("text",)
    loss_name = "contrastive"

    def __init__(
        self,
        spec: ImageSpec,
        optimizer: OptimizerFactory,
        features: int = 64,
        words: int = 1024,
        length: int = 24,
        width: int = 24,
        gamma: float = 10.0,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(spec, optimizer, schedule)
        if not gamma > 0:
            raise UserError(f"model.gamma is {gamma}: want above 0")
        self.towers, self.gamma = Towers(spec, features, words, length, width), gamma

    def setup(self, stage: str) -> None:
        if stage == "fit":
            data: ImageData = self.trainer.datamodule  # type: ignore[attr-defined]
            self.towers.text.learn([{"text": list(data.captions("train"))}])

    def prepare(self, batch: Batch) -> Batch:
        return self.towers.text.prepare(batch)

    def batch_loss(self, batch: Batch) -> Tensor:
        pictures, texts = self.towers.of_pictures(batch["image"]), self.towers.of_texts(batch)
        return text_image_nce(pictures, texts, equal_rows(batch["words"]), self.gamma)

    def picture_vectors(self, image: Tensor) -> Tensor:
        return self.towers.of_pictures(image)

    @torch.no_grad()
    def text_vectors(self, texts: Sequence[str]) -> Tensor:
        return self.towers.of_texts({"text": list(texts)})
