"""Bits/dim and distances of trained runs on held-out images, by the protocol that the runs were trained with.

In several processes, with the same numbers: torchrun --nproc-per-node 4 -m lightning_gen.config.cli evaluate RUN
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lightning_gen.config.arguments import Arguments, any_seed, natural, positive
from lightning_gen.config.loading import checkpoint_path, load_fitting, load_module, load_section
from lightning_gen.contracts import GenerativeModule
from lightning_gen.distributed import rank_and_world
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.evaluation.rows import evaluation_row
from lightning_gen.files import append_json_line
from lightning_gen.tasks.common.neighbours import write_neighbours

__all__ = ["main"]

#: arguments of the evaluation beside the common ones
_MORE = ("path_length", "groups")


def main(arguments: list[str]) -> None:
    """``lightning-gen evaluate RUN [RUN ...] [--split test] [--samples N] [--weights K] [--path-length N]
    [--groups NAME ...] [--evaluation CONFIG] [--json]``."""
    parser = Arguments("evaluate", __doc__)
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="run folder")
    parser.checkpoint()
    parser.add_argument("--data", type=Path, metavar="CONFIG", help="YAML of another data set (the run's own)")
    parser.split()
    parser.add_argument("--samples", type=natural, help="images drawn for the distances (as in the run's config)")
    parser.add_argument("--weights", type=positive, help="k of the importance-weighted bound (as in the run's config)")
    parser.add_argument("--seed", type=any_seed, help="of every draw (as in the run's config)")
    parser.add_argument("--path-length", type=natural, help="paths of the perceptual path length (as in the config)")
    parser.add_argument("--groups", nargs="+", help="attributes, of whose groups recall is measured one by one")
    parser.add_argument(
        "--evaluation",
        type=Path,
        metavar="CONFIG",
        help="YAML whose section evaluation goes over the run's own, such as another extractor",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per run")
    options = parser.parse_args(arguments)

    changes = {name: getattr(options, name) for name in ("split", "samples", "weights", "seed", *_MORE)}
    changes = {name: value for name, value in changes.items() if value is not None}
    for run in options.runs:  # refuse a wrong name before an hour of work, not after
        checkpoint_path(run, options.checkpoint)
    with _processes() as (first, device):
        for run in options.runs:
            row = _evaluate(run, options, changes, device, first)
            if first:  # shown first: a run that cannot be written to must not cost the numbers
                print(json.dumps({"run": str(run), **row})) if options.json else _show(run, row)
                append_json_line(run / "evaluations.jsonl", row)


def _evaluate(
    run: Path, options: argparse.Namespace, changes: dict[str, Any], device: torch.device, show: bool
) -> dict[str, Any]:
    began = time.monotonic()
    module = load_module(checkpoint_path(run, options.checkpoint)).to(device)
    data = load_fitting(run, module, options.data)
    evaluation = load_section(run / "config.yaml", "evaluation", Evaluation, changes, over=options.evaluation)
    with Progress(transient=True, console=Console(stderr=True), disable=not show) as progress:
        task = progress.add_task(run.name, total=evaluation.steps(module, data))
        metrics = evaluation.measure(module, data, lambda: progress.advance(task))
    if show and isinstance(module, GenerativeModule) and evaluation.samples and evaluation.distances != []:
        try:
            write_neighbours(run, module, data, evaluation)
        except OSError as error:
            print(f"lightning-gen: {run}/neighbours.png cannot be written: {error.strerror}", file=sys.stderr)
    seconds = time.monotonic() - began
    return evaluation_row(module.images_seen, options.checkpoint, evaluation.split, seconds, metrics)


def _show(run: Path, row: dict[str, Any]) -> None:
    images = next(iter(row["metrics"].values()))["identity"]["images"] if row["metrics"] else 0
    table = Table(title=f"{run}: {row['images_seen']:,} images seen, {images:,} {row['split']} images")
    for column in ("metric", "value", "± error", "what it is"):
        table.add_column(column, justify="right" if column in ("value", "± error") else "left")
    for name, metric in row["metrics"].items():
        value, error, identity = metric["value"], metric["error"], metric["identity"]
        kind = identity.get("bound") or _drawn(identity)
        lost = f", {metric['not_finite']} not finite" if "not_finite" in metric else ""
        shown = "not finite" if value is None else f"{value:.4f}"
        table.add_row(name, shown, "" if error is None else f"{error:.4f}", kind + lost)
    Console().print(table)


def _drawn(identity: dict[str, Any]) -> str:
    if "chains" in identity:
        return f"{identity['chains']:,} chains of {identity['bars']} bars"
    return f"{identity['samples']:,} samples" if "samples" in identity else "picture by picture"


@contextmanager
def _processes() -> Iterator[tuple[bool, torch.device]]:
    """Joins the processes that torchrun has started, if it has; whether this is the first one, and its device."""
    cuda = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", 0))
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield True, device
        return
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield rank_and_world()[0] == 0, device
    finally:
        torch.distributed.destroy_process_group()
