"""The health of a translation: the way back, and colours that are turned around.

diversity_back                  mean distance of two outputs of the way back by that of two real sources
luminance_correlation           correlation of a source's luminance with its output's over the pixels, mean over sources
luminance_correlation_back      the same of the way back
luminance_correlation_real      the same of sources and the images of their rows: of true pairs where the set has them
"""

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import BackTranslationModule, TranslationModule
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.metrics.modes import spread

__all__ = ["luminance_correlation", "translation_values"]

#: of red, green and blue (ITU-R BT.601)
_WEIGHTS = (0.299, 0.587, 0.114)


def translation_values(module: TranslationModule, batch: Batch, output: Tensor) -> dict[str, Tensor]:
    """Measure a translation beyond what every adversarial model is measured by.

    Args:
        module: in eval mode.
        batch: fixed rows, with ``source`` and ``image``.
        output: uint8 (B, C, H, W), the translation of each source.
    """
    source, image, spec = batch["source"], batch["image"], module.spec
    assert spec.source is not None
    comparable = _is_picture(spec) and _is_picture(spec.source) and source.shape[2:] == image.shape[2:]
    found: dict[str, Tensor] = {}
    if comparable:
        found["luminance_correlation"] = luminance_correlation(source, output)
        found["luminance_correlation_real"] = luminance_correlation(source, image)
    if isinstance(module, BackTranslationModule):
        back = module.translate_back(batch)
        real, made = (to_signed(x, spec.source.levels).flatten(1) for x in (source, back))
        found["diversity_back"] = spread(made) / spread(real).clamp(min=1e-12)
        if comparable:
            found["luminance_correlation_back"] = luminance_correlation(image, back)
    return found


def luminance_correlation(x: Tensor, y: Tensor) -> Tensor:
    """uint8 (B, 1 or 3, H, W) twice -> scalar in -1..1, mean over pictures; one without any contrast counts as 0."""
    first, second = (_luminance(v) for v in (x, y))
    return torch.nn.functional.cosine_similarity(first, second, dim=1, eps=1e-6).mean()


def _luminance(image: Tensor) -> Tensor:
    """(B, 1 or 3, H, W) -> (B, H*W), each picture about its own mean."""
    pixels = image.float()
    if image.shape[1] == 3:
        pixels = sum(weight * pixels[:, i] for i, weight in enumerate(_WEIGHTS))  # type: ignore[assignment]
    flat = pixels.flatten(1)
    return flat - flat.mean(1, keepdim=True)


def _is_picture(spec: ImageSpec) -> bool:
    """Whether bright and dark mean something: a label map has classes instead."""
    return spec.channels in (1, 3) and spec.palette is None
