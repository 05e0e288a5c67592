"""Chains of bars: melodies that go on from bar to bar over given chords, each bar given the one before.

A fault of one bar is the condition of the next, so a model that draws good bars may still lose itself.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from lightning_gen.contracts import GenerativeModule, ImageData, Split
from lightning_gen.evaluation.collection import BLOCK, collect, seeded_generator
from lightning_gen.evaluation.rows import Metrics, data_identity, metric_row
from lightning_gen.metrics.music import STATISTICS, bar_statistics, chord_tones, overlaps, repeats
from lightning_gen.music.notation import STEPS, moved_chords

__all__ = ["LENGTH", "PLACES", "Compose", "chain_count", "chain_metrics", "composed", "draw_chain", "makes_chains"]

#: bars of a chain
LENGTH = 8
#: bars of a chain, counted from 1, that are compared with real ones
PLACES = (1, 4, 8)
_TRITONE = 6

#: (chords int64 (B, N), the bars before the first uint8 (B, 1, 1, 16), generator) -> bars uint8 (B, N, 16)
Compose = Callable[[Tensor, Tensor, Generator], Tensor]


def draw_chain(
    module: GenerativeModule, chords: Tensor, previous: Tensor, generator: Generator, temperature: float = 1.0
) -> Tensor:
    """Draw bars one after the other, each given its chord and the bar before.

    Args:
        module: of bars, conditioned on the chord, or on the chord and the bar before.
        chords: classes of triads, int64 (B, N).
        previous: the bars before the first, uint8 (B, 1, 1, 16).
        generator: on the CPU.
        temperature: see `GenerativeModule.sample`.

    Returns:
        uint8 (B, N, 16).
    """
    bars = [previous]
    for chord in chords.unbind(1):
        bars.append(module.sample(len(chord), {"label": chord, "previous": bars[-1]}, temperature, generator).cpu())
    return torch.cat(bars[1:], 1)[:, :, 0]


def composed(module: GenerativeModule) -> Compose:
    """The chains of `module`."""
    return lambda chords, previous, generator: draw_chain(module, chords, previous, generator)


def makes_chains(module: GenerativeModule) -> bool:
    """Whether `module` draws bars that are given their chord."""
    return module.spec.notation and "label" in module.condition_keys


def chain_count(data: ImageData, split: Split, samples: int) -> int:
    """Count the chains of `samples` bars at most; the pattern of each are eight neighbouring bars of `split`."""
    return min(samples, data.size(split)) // LENGTH


@torch.no_grad()
def chain_metrics(
    draw: Compose | None,
    data: ImageData,
    split: Split,
    samples: int,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> Metrics:
    """Measure chains of eight bars over the chords of real bars, begun after the bar before those.

    ``chain_overlap_1``, ``chain_overlap_4``, ``chain_overlap_8``
        of the bars at this place of the chains with all real bars: mean overlap of the histograms of the nine
        statistics, 0 to 1
    ``chord_tones``
        share of the notes that lie in their triad
    ``chord_tones_moved``
        the same where each chord that is given is a tritone from the real one; what follows its chord keeps its share
    ``repeated_bars``
        share of the bars that are the one before once more
    ``copied_bars``
        share of the bars that occur in training, in one of its keys

    Args:
        draw: the chains of a model; None: the real bars themselves, beside which the others are read.
        data: bars with chords.
        split: of the real bars.
        samples: bars drawn at most, 8 or more for a number.
        seed: of all randomness; part of the identity.
        step: called after each block of this process.
    """
    count = chain_count(data, split, samples)
    if not count:
        return {}
    known = set(_rows(_bars(data, "train")))

    def block(index: int) -> Tensor:
        chords, previous, real = _patterns(data, split, index)
        bars = real if draw is None else draw(chords, previous, seeded_generator(seed, index))
        moved = moved_chords(chords, _TRITONE)
        answer = real if draw is None else draw(moved, previous, seeded_generator(seed, index))
        before = torch.cat([previous[:, 0], bars[:, :-1]], 1)
        shares = [_tones(bars, chords), _tones(answer, moved), _each(repeats, bars, before), _copied(bars, known)]
        at_places = bars[:, [place - 1 for place in PLACES]]
        return torch.cat([torch.stack(shares, 1), at_places.flatten(1).double()], 1)

    rows = collect(count, (4 + len(PLACES) * STEPS,), torch.float64, block, step).cpu()
    identity = data_identity(data, split) | {"chains": count, "bars": LENGTH, "seed": seed}
    metrics: Metrics = {}
    reference = bar_statistics(_bars(data, split))
    for place, bars in zip(PLACES, rows[:, 4:].to(torch.uint8).unflatten(1, (-1, STEPS)).unbind(1), strict=True):
        overlap = float(overlaps(reference, bar_statistics(bars)).mean())
        metrics[f"chain_overlap_{place}"] = metric_row(
            overlap, None, "higher", identity | {"statistics": len(STATISTICS)}
        )
    names = {"chord_tones": "higher", "chord_tones_moved": "higher", "repeated_bars": "lower", "copied_bars": "lower"}
    for (name, better), column in zip(names.items(), rows[:, :4].unbind(1), strict=True):
        metrics[name] = _mean(column, better, identity)
    return metrics


def _mean(values: Tensor, better: str, identity: dict[str, object]) -> dict[str, object]:
    """The mean over the chains that have a number (one without a note has no share of chord tones)."""
    known = values[values.isfinite()]
    error = float(known.std() / math.sqrt(len(known))) if len(known) > 1 else None
    return metric_row(float(known.mean()), error, better, identity)


def _bars(data: ImageData, split: Split) -> Tensor:
    """All bars of a split, uint8 (N, 16)."""
    return torch.cat([batch["image"][:, 0, 0].cpu() for batch in data.batches(split, 4096)])


def _patterns(data: ImageData, split: Split, block: int) -> tuple[Tensor, Tensor, Tensor]:
    """Chords int64 (B, 8), bars before the first uint8 (B, 1, 1, 16), and real bars uint8 (B, 8, 16)."""
    width = BLOCK * LENGTH
    batch = next(data.batches(split, width, block * width, (block + 1) * width))
    whole = len(batch["label"]) // LENGTH * LENGTH
    chords = batch["label"][:whole].cpu().view(-1, LENGTH)
    return chords, batch["previous"][:whole:LENGTH].cpu(), batch["image"][:whole, 0, 0].cpu().view(-1, LENGTH, STEPS)


def _each(measure: Callable[[Tensor, Tensor], Tensor], bars: Tensor, other: Tensor) -> Tensor:
    """Means over each chain, float64 (B,), of what is measured of each bar and its other; nan where none has one."""
    return measure(bars.flatten(0, 1), other.flatten(0, 1)).double().view(len(bars), -1).nanmean(1)


def _tones(bars: Tensor, chords: Tensor) -> Tensor:
    return _each(chord_tones, bars, chords)


def _copied(bars: Tensor, known: set[bytes]) -> Tensor:
    found = [row in known for row in _rows(bars.flatten(0, 1))]
    return torch.tensor(found).double().view(len(bars), -1).mean(1)


def _rows(bars: Tensor) -> list[bytes]:
    """Bars uint8 (N, 16) as values to look up; a row at a time, those of a training set took a second and a half."""
    return bars.contiguous().numpy().view(f"V{STEPS}").ravel().tolist()
