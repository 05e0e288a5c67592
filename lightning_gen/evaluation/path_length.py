"""Perceptual path length (Karras et al. 2019, Section 4.1): how far pictures move to a network as styles move."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_gen.batches import join
from lightning_gen.contracts import GenerativeModule, StyleModule
from lightning_gen.evaluation.collection import collect, seeded_generator
from lightning_gen.evaluation.rows import Metrics, metric_row
from lightning_gen.metrics.extractors import Extractor
from lightning_gen.metrics.pairs import LearnedSimilarity

__all__ = ["path_length_metrics"]

_EPSILON = 1e-4
#: shortest and longest paths that do not count, as in the authors' code
_TAILS = 0.01


@torch.no_grad()
def path_length_metrics(
    module: GenerativeModule, extractor: Extractor, samples: int, seed: int, identity: dict[str, Any],
    lpips: LearnedSimilarity | None = None, step: Callable[[], None] = lambda: None,
) -> Metrics:  # fmt: skip
    """Measure ``ppl_w_<extractor>`` at the ends of paths: squared distance of the features of two pictures whose styles
    are 1e-4 of the way to another style apart, by the square of that, in units of the mean squared distance of two
    pictures; the mean without the shortest and the longest hundredth. With LPIPS ``ppl_w_lpips`` besides, which is a
    distance of squares already and has its own unit. Lower is smoother. Not comparable with numbers of VGG's LPIPS.

    Args:
        module: with styles.
        extractor: that reads signed pictures, since a step of 1e-4 is lost in levels.
        samples: paths.
        seed: of the noise.
        identity: of the numbers.
        lpips: adds LPIPS.
        step: called after each block.
    """
    assert isinstance(module, StyleModule)
    levels = module.spec.levels

    def block(index: int) -> Tensor:
        generator = seeded_generator(seed, index)
        z = module.noise(128, module.latent_dim, generator=generator)
        rows = module.draw_condition(64, generator)
        w = module.styles(z, None if rows is None else join([rows, rows]))  # a path has one condition
        near = w[:64].lerp(w[64:], _EPSILON)
        one, two = module.paint(w[:64]), module.paint(near)
        a, b = extractor.of_signed(one), extractor.of_signed(two)
        found = [(a - b).double().square().sum(1) / _EPSILON**2, (a - a.roll(1, 0)).double().square().sum(1)]
        if lpips is not None:
            one, two = ((x + 1) / 2 * (levels - 1) for x in (one, two))
            found.append(lpips(one, two, levels).double() / _EPSILON**2)
        return torch.stack(found, 1)

    paths = collect(samples, (2 + (lpips is not None),), torch.float64, block, step).cpu()
    about = identity | {"samples": samples, "seed": seed, "space": "w", "epsilon": _EPSILON, "at": "ends"}
    unit = paths[:, 1].mean().clamp(min=1e-12)
    found = {f"ppl_w_{extractor.label}": _row(paths[:, 0] / unit, about)}
    if lpips is not None:
        found["ppl_w_lpips"] = _row(paths[:, 2], about | {"extractor": "lpips", "weights": lpips.hash})
    return found


def _row(length: Tensor, identity: dict[str, Any]) -> dict[str, Any]:
    low, high = length.quantile(torch.tensor([_TAILS, 1 - _TAILS], dtype=length.dtype))
    kept = length[(length >= low) & (length <= high)]
    error = float(kept.std() / len(kept) ** 0.5) if len(kept) > 1 else None
    return metric_row(float(kept.mean()), error, "lower", identity)
