"""The reader of a data set's attributes, learned once from its training images and cached, and how far it errs."""

import torch
from torch import Tensor

from lightning_gen.batches import join
from lightning_gen.cache import cache_path, cached
from lightning_gen.contracts import ImageData
from lightning_gen.evaluation.rows import data_identity
from lightning_gen.metrics.readers import AttributeReader, fit_reader

__all__ = ["attribute_reader", "errors_of"]

_LEARN = 20000


def attribute_reader(data: ImageData) -> AttributeReader:
    """Build the reader of all attributes of `data`. A collective."""
    net = AttributeReader(data.spec)
    identity = {**data_identity(data, "train"), "kind": "reader", "recipe": 1, "names": list(data.attribute_names)}

    def make() -> dict[str, Tensor]:
        batch = join(list(data.batches("train", 512, 0, _LEARN)))
        return fit_reader(batch["image"], batch["attributes"], data.spec).state_dict()

    net.load_state_dict(cached(cache_path("readers", identity), make))
    return net.eval().requires_grad_(False)


@torch.no_grad()
def errors_of(net: AttributeReader, data: ImageData) -> dict[str, tuple[str, float]]:
    """Measure the reader on the test images: of a probability how often it is on the right side of one half, of a
    number the mean absolute error, by name."""
    batch = join(list(data.batches("test", 256, 0, 2048)))
    value = torch.cat([net(image) for image in batch["image"].split(256)])
    target = batch["attributes"]
    right = ((value > 0.5) == (target > 0.5)).float().mean(0)
    off = (value - target).abs().mean(0)
    return {
        name: ("accuracy", float(right[i])) if net.binary[i] > 0 else ("mean error", float(off[i]))
        for i, name in enumerate(data.attribute_names)
    }
