"""The one protocol that turns a trained model into numbers: in training and afterwards, in one process or many."""

from collections.abc import Callable, Sequence
from typing import get_args

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import (
    BackTranslationModule,
    GenerativeModule,
    ImageData,
    ImageModule,
    LikelihoodModule,
    RetrievalModule,
    Split,
    StyleModule,
    SuperResolutionData,
    TextModule,
    TranslationModule,
)
from lightning_gen.errors import UserError, check_counts
from lightning_gen.evaluation.captions import caption_metrics, tower_metrics
from lightning_gen.evaluation.chains import chain_count, chain_metrics, composed, makes_chains
from lightning_gen.evaluation.collection import block_count, sample_block, untouched
from lightning_gen.evaluation.cycles import cycle_metrics
from lightning_gen.evaluation.enlarged import enlarged_metrics
from lightning_gen.evaluation.features import distance_identity
from lightning_gen.evaluation.likelihood import bits_per_dim, bound_of
from lightning_gen.evaluation.pairs import block_of_outputs, pair_metrics
from lightning_gen.evaluation.path_length import path_length_metrics
from lightning_gen.evaluation.rows import Metrics
from lightning_gen.evaluation.segments import SegmenterFactory, fitted_segmenter, is_from_labels, segment_metrics
from lightning_gen.evaluation.sentences import JudgeFactory, pictures_of_captions
from lightning_gen.evaluation.sets import SetEvaluation
from lightning_gen.finite import finite_weights
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.distances import SetDistance
from lightning_gen.metrics.extractors import Extractor
from lightning_gen.metrics.pairs import LearnedSimilarity

__all__ = ["Evaluation"]


class Evaluation(SetEvaluation):
    """What is measured, on which images, with which features.

    Args:
        split: of the real images.
        samples: images drawn for the distances, 0: no distances. 1,000 is quick; papers use 50,000.
        seed: of every draw.
        weights: log-probabilities drawn per image; above 1 the importance-weighted bound (Burda et al. 2016, Eq. 8)
            takes the place of the bound of a stochastic model, under the name iwae-k.
        extractor: called with (spec); gives the features of the distances. None: a classifier trained on the data's
            own labels, a reader of its attributes where it has no labels, else principal components of the pixels.
        distances: each called with (extractor). None: Fréchet, kernel, and precision, recall, density, coverage.
        segmenter: called with (spec, classes); trained on the real pairs of labels -> photo, it reads the labels off
            the outputs. None: not measured.
        judge: called with (spec, words of each attribute); trained on drawn pictures whose attributes are known, it
            reads off pictures of sentences what the sentence says. None: not measured.
        towers: run folder of two towers, by which R-precision is measured: not the one that the model's text encoder
            is from. None: not measured.
        lpips: file with the weights of torchvision's AlexNet: adds LPIPS of pairs. None: not measured.
        path_length: paths of which the perceptual path length of a model with styles is measured, 0: not.
        groups: attributes, of whose groups the recall is measured one by one.
    """

    def __init__(
        self,
        split: Split = "val",
        samples: int = 1000,
        seed: int = 0,
        weights: int = 1,
        extractor: Callable[[ImageSpec], Extractor] | None = None,
        distances: list[Callable[[Extractor], SetDistance]] | None = None,
        segmenter: SegmenterFactory | None = None,
        lpips: str | None = None,
        judge: JudgeFactory | None = None,
        towers: str | None = None,
        path_length: int = 0,
        groups: Sequence[str] = (),
    ) -> None:
        if split not in get_args(Split):
            raise UserError(f"evaluation.split is {split}: want train, val or test")
        if samples < 0 or samples == 1:
            raise UserError(f"evaluation.samples is {samples}: want 2 or more, or 0 for no distances")
        check_counts("evaluation", limit=100_000, weights=weights)
        check_counts("evaluation", limit=10_000_000, samples=max(1, samples), path_length=max(1, path_length))
        super().__init__(split, samples, seed, extractor, distances, groups)
        self.path_length, self.weights = path_length, weights
        self.segmenter, self.lpips, self.judge, self.towers = segmenter, lpips, judge, towers

    def check(self, module: ImageModule) -> None:
        """Raise `UserError` where `module` cannot give what is asked for, or nothing: its weights are not finite."""
        name = type(module).__name__
        if not finite_weights(module):
            raise UserError(f"{name} has weights that are not finite: want one from before it diverged")
        if self.weights > 1 and not isinstance(module, LikelihoodModule):
            raise UserError(f"evaluation.weights is {self.weights}: {name} has no likelihood, want 1")
        if isinstance(module, LikelihoodModule):
            bound_of(module, self.weights)
        if self.path_length and not isinstance(module, StyleModule):
            raise UserError(f"evaluation.path_length is {self.path_length}: {name} has no styles, want 0")

    @torch.no_grad()
    def measure(self, module: ImageModule, data: ImageData, step: Callable[[], None] = lambda: None) -> Metrics:
        """Measure `module`, which is in eval mode; the numbers are the same on every process.

        Args:
            module: with the weights to be judged.
            data: real images.
            step: called after each block of this process.
        """
        self.check(module)
        with untouched(module.device):
            found = self._likelihood(module, data, step)
            if isinstance(module, TranslationModule):
                if isinstance(data, SuperResolutionData):
                    found |= self.enlarged(module.translate, data, module.device, step)
                draw = block_of_outputs(module, data, self.split, self.seed)
                found |= self.translations(draw, data, module.device, step)
                if isinstance(module, BackTranslationModule):
                    found |= cycle_metrics(module, data, self.split, self.seed, step)
            elif not self.samples:
                return found
            elif isinstance(module, TextModule | RetrievalModule):
                found |= self._captions(module, data, step)
            elif isinstance(module, GenerativeModule):
                found |= self.distance(
                    lambda block: sample_block(module, block, self.seed), self.samples, data, module.device, step
                )
                if self.path_length:
                    found |= self._path_length(module, data, step)
                if makes_chains(module):
                    found |= chain_metrics(composed(module), data, self.split, self.samples, self.seed, step)
            return found

    def _likelihood(self, module: ImageModule, data: ImageData, step: Callable[[], None]) -> Metrics:
        if not isinstance(module, LikelihoodModule):
            return {}
        return bits_per_dim(module, data, self.split, self.seed, self.weights, step)

    def _captions(self, module: ImageModule, data: ImageData, step: Callable[[], None]) -> Metrics:
        """Measure one picture for each held-out caption; of towers, how often they find it."""
        count = min(self.samples, data.size(self.split))
        about = (data, self.split, count, self.seed, step)
        if isinstance(module, RetrievalModule):
            return tower_metrics(module, *about)
        assert isinstance(module, GenerativeModule)
        draw = pictures_of_captions(module, data, self.split, self.seed)
        found = self.distance(draw, count, data, module.device, step)
        return found | caption_metrics(module, draw, *about, self.judge, self.towers)

    def translations(
        self,
        draw: Callable[[int], Tensor],
        data: ImageData,
        device: torch.device | str = "cpu",
        step: Callable[[], None] = lambda: None,
    ) -> Metrics:
        """Measure the outputs of all sources: against their targets and label maps where they are pairs, and as a set.

        Args:
            draw: block index -> outputs of its sources, uint8 (B, C, H, W).
            data: with the sources and the real images.
            device: where features are computed.
            step: called after each block of this process.
        """
        found: Metrics = {}
        if data.paired_in(self.split) and not isinstance(data, SuperResolutionData):
            found |= pair_metrics(draw, data, self.split, self.seed, step, self._similarity())
        if self.reads_labels(data):
            found |= self.segments(draw, data, step)
        count = min(self.samples, data.size(self.split))
        return found | (self.distance(draw, count, data, device, step) if count else {})

    def enlarged(
        self,
        enlarge: Callable[[Batch], Tensor],
        data: SuperResolutionData,
        device: torch.device | str = "cpu",
        step: Callable[[], None] = lambda: None,
    ) -> Metrics:
        """Measure whole pictures against the true ones; `enlarge` takes a batch of one source."""
        return enlarged_metrics(enlarge, data, self.split, device, step, self._similarity())

    def _similarity(self) -> LearnedSimilarity | None:
        return LearnedSimilarity(self.lpips) if self.lpips else None

    def segments(
        self, draw: Callable[[int], Tensor], data: ImageData, step: Callable[[], None] = lambda: None
    ) -> Metrics:
        """Measure what the segmenter reads off the outputs alone; see `translations`."""
        assert self.segmenter is not None
        net = fitted_segmenter(self.segmenter, data)
        return segment_metrics(net, draw, data, self.split, self.seed, step)

    def reads_labels(self, data: ImageData) -> bool:
        """Whether the label maps of the sources are read off the outputs."""
        return self.segmenter is not None and is_from_labels(data)

    def steps(self, module: ImageModule, data: ImageData) -> int:
        """Count how often `measure` calls `step` in this process."""
        size = data.size(self.split)
        counts = [size] if isinstance(module, LikelihoodModule) else []
        if isinstance(module, TranslationModule):
            kinds = (data.paired_in(self.split), self.reads_labels(data), isinstance(module, BackTranslationModule))
            counts += [size] * sum(kinds) + [min(self.samples, size)]
            if isinstance(data, SuperResolutionData):  # whole pictures take the place of pairs of crops
                counts[0] = data.pictures(self.split)
        elif isinstance(module, TextModule | RetrievalModule):
            kinds = (isinstance(module, TextModule), self.judge is not None, self.towers is not None)
            counts += [min(self.samples, size)] * max(1, sum(kinds))
        elif isinstance(module, GenerativeModule):
            counts += [self.samples, self.path_length]
            counts += [chain_count(data, self.split, self.samples)] if makes_chains(module) else []
        return sum(block_count(count) for count in counts)

    def _path_length(self, module: GenerativeModule, data: ImageData, step: Callable[[], None]) -> Metrics:
        extractor = self.extractor_of(data, module.device)
        identity = distance_identity(data, self.split, extractor)
        return path_length_metrics(module, extractor, self.path_length, self.seed, identity, self._similarity(), step)
