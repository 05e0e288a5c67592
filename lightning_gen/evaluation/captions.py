"""All that is measured of pictures of sentences beside their distance from real ones."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from lightning_gen.contracts import DescribedData, GenerativeModule, ImageData, ImageModule, RetrievalModule, Split
from lightning_gen.evaluation.retrieval import retrieval_metrics
from lightning_gen.evaluation.rows import Metrics
from lightning_gen.evaluation.sentences import JudgeFactory, attribute_metrics, diversity, fitted_judge
from lightning_gen.metrics.towers import TowersOfRun

__all__ = ["caption_metrics", "tower_metrics"]


def caption_metrics(
    module: GenerativeModule,
    draw: Callable[[int], Tensor],
    data: ImageData,
    split: Split,
    count: int,
    seed: int,
    step: Callable[[], None],
    judge: JudgeFactory | None,
    towers: str | None,
) -> Metrics:
    """Measure what a judge reads off the pictures, their variety, and R-precision by the towers of a run.

    Args:
        module: that draws.
        draw: block index -> a picture for each caption of the block.
        data: with captions.
        split: of the captions.
        count: captions, from the first.
        seed: of every draw.
        step: called after each block of this process, once for each of the two.
        judge: see `Evaluation`, as is `towers`.
        towers: run folder.
    """
    found: Metrics = {}
    if judge is not None and isinstance(data, DescribedData):
        net = fitted_judge(judge, data, module.device)
        found |= attribute_metrics(net, draw, data, split, count, seed, step)
        found |= diversity(net, module, data, split, seed)
    if towers is not None:
        of_run = TowersOfRun(towers, data.spec)
        measure = partial(retrieval_metrics, of_run.of_pictures, of_run.of_texts, of_run.label)
        found |= measure(draw, data, split, count, seed, step)
    return found


def tower_metrics(
    module: RetrievalModule, data: ImageData, split: Split, count: int, seed: int, step: Callable[[], None]
) -> Metrics:
    """Measure how often towers find the caption of a real picture."""
    assert isinstance(module, ImageModule)
    device = module.device

    def of_pictures(image: Tensor) -> Tensor:
        return module.picture_vectors(image.to(device))

    return retrieval_metrics(of_pictures, module.text_vectors, "real", None, data, split, count, seed, step)
