"""Speed as ratios: what is compared runs in turns, in one process, so that a busy or throttled machine slows all alike.

    result = interleave({"ours": step, "peer": other}, repeats=40)
    record("flow_step", result, reference="peer", about={"batch": 16})

`record` prints a table of medians and ratios and writes ``benchmarks/results/NAME.json`` with hardware, date, commit
and versions.
"""

import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from lightning_gen.files import write_json

__all__ = ["RESULTS", "hardware", "interleave", "record"]

RESULTS = Path(__file__).parent / "results"


def interleave(
    cases: dict[str, Callable[[], Any]], repeats: int = 20, warmup: int = 2, seed: int = 0
) -> dict[str, list[float]]:
    """Seconds of each call: in each of `repeats` rounds every case runs once, in an order shuffled by `seed`.

    Args:
        cases: name -> what is timed; a call must do the same work every time.
        repeats: rounds that count.
        warmup: rounds before them that do not.
        seed: of the order.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    order, chance = list(cases), random.Random(seed)
    for round_ in range(-warmup, repeats):
        chance.shuffle(order)
        for name in order:
            _wait()
            began = time.perf_counter()
            cases[name]()
            _wait()
            if round_ >= 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def record(
    name: str, seconds: dict[str, list[float]], reference: str, about: dict[str, Any] | None = None, **found: Any
) -> None:
    """Print and write the medians and, for each case, the median over rounds of its time by that of `reference`.

    Args:
        name: of the file.
        seconds: from `interleave`.
        reference: the case that the others are divided by; its ratio is 1.
        about: sizes and settings, plain values.
        found: further entries of the file, plain values.
    """
    rows = {}
    for case, times in seconds.items():
        ratios = sorted(a / b for a, b in zip(times, seconds[reference], strict=True))
        low, high = ratios[len(ratios) // 20], ratios[-1 - len(ratios) // 20]
        rows[case] = {
            "median_ms": round(1000 * statistics.median(times), 3),
            "ratio": round(statistics.median(ratios), 4),
            "ratio_90%": [round(low, 4), round(high, 4)],
            "repeats": len(times),
        }
    versions = {package: metadata.version(package) for package in ("torch", "lightning")}
    write_json(
        RESULTS / f"{name}.json",
        {
            "reference": reference,
            "cases": rows,
            "about": about or {},
            "hardware": hardware(),
            "threads": torch.get_num_threads(),
            "date": datetime.now(UTC).date().isoformat(),
            "commit": _commit(),
            "versions": versions,
            **found,
        },
    )
    table = Table(title=f"{name}, against {reference}")
    for column in ("case", "median ms", "time ratio", "5% to 95%"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for case, row in rows.items():
        low, high = row["ratio_90%"]
        table.add_row(case, f"{row['median_ms']:,}", f"{row['ratio']:.3f}", f"{low:.3f} to {high:.3f}")
    Console().print(table)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def hardware() -> str:
    """What the numbers were measured on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def _commit() -> str | None:
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(words, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None
