"""What run.json says of a run: enough to tell how a number came about."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import LightningCLI

from lightning_gen import __version__

__all__ = ["facts_of"]


def facts_of(cli: LightningCLI) -> dict[str, Any]:
    """Return what is written into run.json."""
    device = cli.trainer.strategy.root_device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "kind": "run",
        "name": cli.config_init.run.name,
        "model": type(cli.model).__name__,
        "class_path": cli.config.model.class_path,
        "parameters": sum(p.numel() for p in cli.model.parameters()),
        "data": cli.datamodule.name,
        "fingerprint": cli.datamodule.fingerprint,
        "seed": cli.config.seed_everything,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "version": __version__,
        "versions": {name: metadata.version(name) for name in ("torch", "lightning", "torchmetrics")},
        "python": platform.python_version(),
        "hardware": {"device": gpu or f"{platform.machine()} CPU", "cores": os.cpu_count()},
        "processes": cli.trainer.world_size,
        "precision": cli.trainer.precision,
    }


def _commit() -> str | None:
    """The commit of the checkout this code runs from, with ``+`` where files differ from it; None outside one."""

    def git(*words: str) -> str:
        folder = Path(__file__).parent
        return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
