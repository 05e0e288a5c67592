"""What a training takes on more devices, from what one run has measured: memory, batch, time and cost.

    lightning-gen estimate RUN --devices 8 64 512 --images 50000000 --price 2.5

Every number says where it comes from. measured: of the run, on its own device and processes. computed: follows from the
sizes of weights and optimizer states. extrapolated: as if each new process were as fast as one of the run's and lost
`--efficiency` to the others; a run on processors says nothing about accelerators.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from torch import Tensor

from lightning_gen.config.arguments import Arguments, above_zero, images_seen, positive
from lightning_gen.config.loading import checkpoint_path, read_checkpoint
from lightning_gen.errors import UserError
from lightning_gen.reading import plain, read_json, read_rows

__all__ = ["Estimate", "Measured", "estimate", "main", "measure"]


#: what a row of metrics must say for a rate
_AXES = ("seconds", "images_seen")


class Measured(NamedTuple):
    """What a run says: images per second and process between its first row of metrics and its last; its processes; the
    images of a batch of one process; bytes of weights, of optimizer states and of the average."""

    rate: float
    processes: int
    batch: int
    weights: int
    optimizers: int
    average: int


class Estimate(NamedTuple):
    """What a training takes on `devices` processes.

    Images per step; bytes that stay on each device with whole copies (DDP) and with shares (FSDP), without activations;
    bytes that each sends per step (ring all-reduce of the gradients); steps, seconds and money of the whole."""

    devices: int
    batch: int
    whole: int
    shared: int
    sent: int
    steps: int
    seconds: float
    cost: float


def measure(run: Path) -> Measured:
    """Read a run folder.

    Raises:
        UserError: it has no checkpoint, or fewer than two rows of metrics to take a rate from.
    """
    path = checkpoint_path(run)
    if path.suffix != ".ckpt":
        raise UserError(f"run {run} is an exported model: want the folder of a run, which has timed itself")
    rows = [row for row in read_rows(run / "metrics.jsonl", []) if all(_is_number(row.get(key)) for key in _AXES)]
    if len(rows) < 2 or any(rows[-1][key] <= rows[0][key] for key in _AXES):
        why = "want two or more, after different numbers of images, to take a rate from"
        raise UserError(f"run {run} has {len(rows)} rows of metrics: {why}")
    processes, _ = _hardware(run)
    state = read_checkpoint(path, mmap=True)
    rate = (rows[-1]["images_seen"] - rows[0]["images_seen"]) / (rows[-1]["seconds"] - rows[0]["seconds"])
    try:
        batches = state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"]
        return Measured(
            rate / processes,
            processes,
            max(1, round(state["images_seen"] / batches / processes)),
            _bytes(state["state_dict"]),
            _bytes(state["optimizer_states"]),
            _bytes(state.get("ema", {})),
        )
    except (LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise UserError(f"checkpoint {path} says not how many batches it has seen: want one of this version") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _hardware(run: Path) -> tuple[int, str]:
    """How many processes have trained the run, and on what device."""
    about = plain(read_json(run / "run.json"))
    try:
        processes, device = about["processes"], str(about["hardware"]["device"])
    except (LookupError, TypeError):
        processes, device = None, ""
    if type(processes) is not int or processes < 1:
        raise UserError(f"run {run} has a run.json that does not say what it ran on: want the one that fit wrote")
    return processes, device


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(map(_bytes, items))


def estimate(found: Measured, devices: int, images: int, efficiency: float = 1.0, price: float = 0.0) -> Estimate:
    """Compute what a training of `images` takes on `devices`, each with the run's batch.

    Args:
        found: from `measure`.
        devices: 1 or more.
        images: the training sees, all together.
        efficiency: weak scaling, 0 to 1: images per second and process, by those of the run.
        price: of an hour of one device.
    """
    batch = found.batch * devices
    # Weights, their gradients, optimizer states; the average is whole on each process here.
    state = 2 * found.weights + found.optimizers
    seconds = images / (found.rate * devices * efficiency)
    return Estimate(
        devices,
        batch,
        state + found.average,
        math.ceil(state / devices) + found.average,
        round(2 * (devices - 1) / devices * found.weights),
        math.ceil(images / batch),
        seconds,
        price * devices * seconds / 3600,
    )


def main(arguments: list[str]) -> None:
    """``lightning-gen estimate RUN --devices N ... --images N [--efficiency E] [--price P]``."""
    parser = Arguments("estimate", __doc__)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--devices", type=positive, nargs="+", default=[8, 64, 512], help="how many (8 64 512)")
    parser.add_argument("--images", type=images_seen, required=True, help="training images of the whole training")
    parser.add_argument("--efficiency", type=above_zero, default=1.0, help="weak scaling, up to 1 (1: a lower bound)")
    parser.add_argument("--price", type=above_zero, help="of an hour of one device, in any currency")
    options = parser.parse_args(arguments)
    if options.efficiency > 1:
        raise UserError(f"--efficiency {options.efficiency:g} given: want at most 1")
    found, (_, device) = measure(options.run), _hardware(options.run)
    print(
        f"measured: {found.rate:,.0f} images/s and process, {found.processes} process(es) on "
        f"{device}, {found.batch} images per batch, weights {_size(found.weights)}, "
        f"optimizer states {_size(found.optimizers)}, average {_size(found.average)}"
    )
    table = Table(title=f"{options.images:,} images, weak scaling {options.efficiency:g} (assumed)")
    computed = ("batch", "whole copies", "shares", "sent per step", "steps")
    extrapolated = ("hours", *(("cost",) if options.price else ()))
    for name in ("devices", *computed, *extrapolated):
        table.add_column(name, justify="right")
    for devices in options.devices:
        row = estimate(found, devices, options.images, options.efficiency, options.price or 0.0)
        sizes = map(_size, (row.whole, row.shared, row.sent))
        last = [f"{row.seconds / 3600:,.3g}", *([f"{row.cost:,.2f}"] if options.price else [])]
        table.add_row(f"{devices:,}", f"{row.batch:,}", *sizes, f"{row.steps:,}", *last)
    Console().print(table)
    print("computed: batch, bytes of each device, steps. Activations are not among the bytes: they were not measured.")
    print("extrapolated: hours and cost, as if every process were as fast as the run's and scaled as assumed.")


def _size(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.2f} MiB"
