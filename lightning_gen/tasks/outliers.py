"""Outlier scores of images: negative log-likelihoods, and scores made of them (see `tasks.common.typicality`), with the
AUROC of each against other images."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import checkpoint_path, load_data, load_module, load_run
from lightning_gen.contracts import ImageData, LikelihoodModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.collection import BLOCK
from lightning_gen.evaluation.likelihood import bound_of, log_probs
from lightning_gen.files import write_text
from lightning_gen.tasks.common.require import require
from lightning_gen.tasks.common.typicality import statistics

__all__ = ["CHANGES", "main", "scores"]


def _shuffled(image: Tensor) -> Tensor:
    order = torch.randperm(image[0, 0].numel(), generator=torch.Generator().manual_seed(0))
    return image.flatten(2)[:, :, order].view_as(image)


def _turned(image: Tensor) -> Tensor:
    return image.flip(2, 3)


def _mirrored(image: Tensor) -> Tensor:
    return image.flip(3)


#: name -> uint8 (B, C, H, W) -> the same: the run's own images made strange
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "shuffled": _shuffled,
    "upside-down": _turned,
    "mirrored": _mirrored,
}


def main(arguments: list[str]) -> None:
    """``lightning-gen outliers RUN [--other CONFIG|NAME ...] [--background RUN] [--split test] [--weights K]
    [--images N] [--out FILE]``."""
    parser = Arguments("outliers", __doc__)
    parser.run()
    names = ", ".join(CHANGES)
    parser.add_argument("--other", nargs="+", default=[], help=f"YAML of a data set, or the run's own images: {names}")
    parser.add_argument("--background", type=Path, metavar="RUN", help="a second model, for likelihood ratios (none)")
    parser.split()
    parser.add_argument("--weights", type=positive, default=1, help="k of the importance-weighted bound (1)")
    parser.add_argument("--images", type=positive, default=2000, help="at most so many of a set (2000)")
    parser.seed()
    parser.file("out", ".csv", help="CSV to write, a row per image (RUN/outliers.csv)")
    options = parser.parse_args(arguments)

    module, data = load_run(options.run, options.checkpoint)
    model = require(module, LikelihoodModule)
    background = _background(options.background, model) if options.background else None
    bound = bound_of(model, options.weights)
    sets = {data.name: list(data.batches(options.split, BLOCK, 0, options.images))}
    for other in options.other:
        name, batches = _other(other, data, sets[data.name], options.split, options.images)
        if name in sets:
            raise UserError(f"--other {other} is {name} again: want another set of images")
        sets[name] = batches
    typical = scores(model, list(data.batches("train", BLOCK, 0, options.images)), options.weights, options.seed).mean()
    found: dict[str, dict[str, Tensor]] = {}
    for name, batches in sets.items():
        nats = scores(model, batches, options.weights, options.seed)
        second = None if background is None else scores(background, batches, options.weights, options.seed)
        found[name] = statistics(nats, torch.cat([batch["image"] for batch in batches]), typical.item(), second)
    out = options.out or options.run / "outliers.csv"
    write_text(out, "\n".join(_lines(found)) + "\n")
    _show(found, f"{options.run}: negative log-likelihood ({bound}) of {options.split} images", data.name)
    print(out)


def _background(run: Path, model: LikelihoodModule) -> LikelihoodModule:
    second = require(load_module(checkpoint_path(run)), LikelihoodModule)
    if not second.spec.fits(model.spec):
        raise UserError(f"--background {run} is of {second.spec}: want images like those of the run, {model.spec}")
    return second


def _lines(found: dict[str, dict[str, Tensor]]) -> Iterator[str]:
    yield ",".join(["set", "image", *next(iter(found.values()))])
    for name, columns in found.items():
        for i, values in enumerate(torch.stack(list(columns.values()), 1).tolist()):
            yield ",".join([name, str(i), *(f"{value:.6g}" for value in values)])


def _other(other: str, data: ImageData, own: list[Batch], split: str, images: int) -> tuple[str, list[Batch]]:
    if other in CHANGES:
        return other, [{**batch, "image": CHANGES[other](batch["image"])} for batch in own]
    if not Path(other).suffix:
        raise UserError(f"--other is {other}: want the YAML of a data set or one of {', '.join(CHANGES)}")
    second = load_data(other)
    if not second.spec.fits(data.spec):
        raise UserError(f"--other {other} is {second.spec}: want images like those of the run, {data.spec}")
    return second.name, list(second.batches(split, BLOCK, 0, images))  # type: ignore[arg-type]


def scores(module: LikelihoodModule, batches: list[Batch], weights: int = 1, seed: int = 0) -> Tensor:
    """Compute the negative log-likelihood, or the importance-weighted bound of it, nats, float64 (N,)."""
    return torch.cat([-log_probs(module, batch, block, seed, weights) for block, batch in enumerate(batches)])


def _show(found: dict[str, dict[str, Tensor]], title: str, own: str) -> None:
    from sklearn.metrics import roc_auc_score

    kinds = list(found[own])
    table = Table(title=title, caption="AUROC: how well each score tells a set from the run's own; 0.5 is chance")
    for column in ("set", "images", "nats, mean", "5%", "95%", *(f"AUROC, {kind}" for kind in kinds)):
        table.add_column(column, justify="left" if column == "set" else "right", no_wrap=column == "set")
    for name, columns in found.items():
        nats, aurocs = columns["nats"], []
        if name != own:
            truth = torch.cat([torch.zeros(len(found[own]["nats"])), torch.ones(len(nats))])
            both = (torch.cat([found[own][kind], columns[kind]]) for kind in kinds)
            aurocs = [f"{roc_auc_score(truth, values):.4f}" for values in both]
        low, high = nats.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
        table.add_row(name, f"{len(nats):,}", f"{nats.mean():.2f}", f"{low:.2f}", f"{high:.2f}", *aurocs)
    Console().print(table)
