"""What a number is worth: trivial models of a data set, scored like real ones.

bits/dim     the histogram of each pixel's levels; the set as one PNG; the set as one LZMA stream
translation  the source itself, enlarged by four filters where it is a smaller image, the mean target, the nearest
             training pair; the true target, where something is read off the outputs (the best a model can hope for)
melodies     the real bars one after the other
distances    other real images (the best a model can hope for); ten real images over and over (a collapsed model);
             uniform noise

Each becomes a run folder of kind baseline, which `lightning-gen compare` shows beside the runs.
"""

import io
import json
import lzma
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.config.arguments import Arguments, natural
from lightning_gen.config.loading import load_data, load_section
from lightning_gen.contracts import ImageData, Split, SuperResolutionData
from lightning_gen.errors import UserError
from lightning_gen.evaluation.chains import chain_metrics
from lightning_gen.evaluation.collection import BLOCK, read_block
from lightning_gen.evaluation.likelihood import likelihood_metric
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.evaluation.rows import Metrics, evaluation_row
from lightning_gen.files import write_json, write_png, write_text
from lightning_gen.images import ImageSpec, as_pictures, grid
from lightning_gen.resampling import METHODS
from lightning_gen.tasks.common.trivial_translations import enlarge_by, enlarged_name, trivial_translations

__all__ = ["histogram_bits", "lzma_bits", "main", "png_bits"]


def main(arguments: list[str]) -> None:
    """``lightning-gen baselines CONFIG [--root runs] [--split test] [--samples N]``."""
    parser = Arguments("baselines", __doc__)
    parser.add_argument("config", type=Path, help="YAML with the data set, such as a run's config.yaml")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="where the run folders go (runs)")
    parser.split()
    parser.add_argument("--samples", type=natural, help="images in each generated set (as in CONFIG, or 1,000)")
    parser.trust()
    options = parser.parse_args(arguments)

    data = load_data(options.config)
    changes = {"split": options.split} | ({} if options.samples is None else {"samples": options.samples})
    evaluation = load_section(options.config, "evaluation", Evaluation, changes)
    if isinstance(data, SuperResolutionData):
        _enlarged(options.root, data, evaluation)
        return  # a code length of crops, or a mean of them, says nothing
    if data.spec.source is not None:
        _translations(options.root, data, evaluation)
    train, held_out = (torch.cat([b["image"] for b in data.batches(split, 512)]) for split in ("train", options.split))
    for name, bits in _coders(data.spec, train, held_out):
        _record(options.root, name, data, options.split, partial(_likelihood, bits, data, options.split))
    for name, images in _sets(data.spec, train, evaluation):
        _record(options.root, name, data, options.split, partial(_distance, evaluation, images, data), images)
    if data.spec.notation and evaluation.samples:
        measure = partial(chain_metrics, None, data, evaluation.split, evaluation.samples, evaluation.seed)
        _record(options.root, "baseline-chains", data, options.split, measure)


def _enlarged(root: Path, data: SuperResolutionData, evaluation: Evaluation) -> None:
    """Record the filters on whole pictures, and on crops as a set."""
    for method in METHODS:
        enlarge = enlarge_by(method, data)

        def draw(block: int, enlarge: Callable[[Batch], Tensor] = enlarge) -> Tensor:
            return enlarge(read_block(data, evaluation.split, block))

        def measure(enlarge: Callable[[Batch], Tensor] = enlarge, draw: Callable[[int], Tensor] = draw) -> Metrics:
            return evaluation.enlarged(enlarge, data) | evaluation.translations(draw, data)

        _record(root, enlarged_name(method), data, evaluation.split, measure, draw(0))


def _translations(root: Path, data: ImageData, evaluation: Evaluation) -> None:
    for name, draw in trivial_translations(data, evaluation.split):
        measure = partial(evaluation.translations, draw, data)
        if name == "baseline-target":  # as near to itself as can be: only what is read off it says something
            if not evaluation.reads_labels(data):
                continue
            measure = partial(evaluation.segments, draw, data)
        _record(root, name, data, evaluation.split, measure, draw(0))


def histogram_bits(train: Tensor, image: Tensor, levels: int) -> Tensor:
    """Compute bits/dim of each image (B,), float64, when each pixel is coded by the frequency of its level at its place
    in `train`, one added to every count. Both uint8 (N, C, H, W)."""
    counts = torch.stack([(train == level).sum(0) for level in range(levels)]).double() + 1  # (levels, C, H, W)
    bits = -torch.log2(counts / counts.sum(0))
    return bits.gather(0, image.long()).flatten(1).mean(1)


def png_bits(image: Tensor) -> float:
    """Compute bits/dim of all images, uint8 (N, C, H, W), one below the other in a single PNG."""
    pixels = image.permute(0, 2, 3, 1).flatten(0, 1).squeeze(-1).numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", optimize=True)
    return 8 * stream.tell() / image.numel()


def lzma_bits(image: Tensor) -> float:
    """Compute bits/dim of all images, uint8 (N, C, H, W), in a single LZMA stream, the smallest of its settings."""
    sizes = []
    for lc, pb in ((3, 2), (3, 0), (4, 0), (0, 0)):
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": lc, "lp": 0, "pb": pb}]
        sizes.append(len(lzma.compress(image.numpy().tobytes(), lzma.FORMAT_RAW, filters=filters)))
    return 8 * min(sizes) / image.numel()


def _coders(spec: ImageSpec, train: Tensor, image: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    yield "baseline-histogram", partial(histogram_bits, train, image, spec.levels)
    # One file for all images: the header counts once, and an average is all there is.
    yield "baseline-png", lambda: torch.full((len(image),), png_bits(image), dtype=torch.float64)
    yield "baseline-lzma", lambda: torch.full((len(image),), lzma_bits(image), dtype=torch.float64)


def _sets(spec: ImageSpec, train: Tensor, evaluation: Evaluation) -> Iterator[tuple[str, Tensor]]:
    count, chance = evaluation.samples, torch.Generator().manual_seed(evaluation.seed)
    if not count:
        return
    order = torch.randperm(len(train), generator=chance)
    yield "baseline-real", train[order[:count]]
    yield "baseline-collapsed", train[order[:10]][torch.arange(count) % 10]
    yield "baseline-noise", torch.randint(spec.levels, (count, *spec.shape), generator=chance, dtype=torch.uint8)


def _likelihood(bits: Callable[[], Tensor], data: ImageData, split: Split) -> Metrics:
    return likelihood_metric(bits(), "exact", data, split)


def _distance(evaluation: Evaluation, images: Tensor, data: ImageData) -> Metrics:
    blocks = images.split(BLOCK)
    return evaluation.distance(lambda block: blocks[block], len(images), data)


def _record(
    root: Path,
    name: str,
    data: ImageData,
    split: Split,
    measure: Callable[[], Metrics],
    images: Tensor | None = None,
) -> None:
    """Write one baseline; one that is there is written anew."""
    folder, began = root / name, time.monotonic()
    if (folder / "checkpoints").exists():
        raise UserError(f"root is {root}: {folder} is a run, want it under another name")
    row: dict[str, Any] = evaluation_row(0, "last", split, 0.0, measure())
    row["seconds"] = round(time.monotonic() - began, 3)
    about = {"kind": "baseline", "name": name, "data": data.name, "fingerprint": data.fingerprint}
    write_json(folder / "run.json", about)
    write_text(folder / "evaluations.jsonl", json.dumps(row, allow_nan=False) + "\n")
    if images is not None:
        pictures = as_pictures(images[:64], data.spec)
        write_png(folder / "samples" / "0000000000.png", np.asarray(grid(pictures, 256)))
    found = [(key, value["value"]) for key, value in row["metrics"].items() if value["value"] is not None]
    values = ", ".join(f"{key} {value:.3f}" for key, value in found[:1])
    print(f"{folder}: {values}", flush=True)
