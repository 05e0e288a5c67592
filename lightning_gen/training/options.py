"""The section ``run`` of a configuration."""

import math
from dataclasses import dataclass
from pathlib import Path

from lightning_gen.errors import IMAGE_LIMIT, UserError, check_counts
from lightning_gen.runs.wandb import WandbMirror
from lightning_gen.schedules import HalfLife, Ramp
from lightning_gen.training.resume import Resume

__all__ = ["Run"]


@dataclass
class Run:
    """How long a run is and what is kept of it.

    Args:
        name: of the folder below `root`; must be new.
        root: where run folders lie.
        images: training images, all processes together.
        grid_every: images between sample grids; 0: at the end only.
        evaluate_every: images between evaluations; 0: at the end only.
        rate_images: validation images that the rate and the alarm for a collapsed posterior of a VAE are computed on.
        health_every: images between measurements of the health of a GAN; 0: none.
        stop_on_collapse: end the run, with its checkpoint, where a GAN collapses.
        stop_on_divergence: end the run where a loss is not finite (None: where the model minimises one loss).
        save_every: images between checkpoints; 0: at the end only.
        save_minutes: minutes between checkpoints; 0: no such checkpoints.
        resume: no: the run must be new; same: go on with the run of this name where there is one, which must have the
            same configuration; changed: it may have another one.
        start_from: run folder, checkpoint or exported model whose weights a new run begins with (None: fresh weights).
        ema: decay of the exponential moving average of the weights per batch, 0 to 1, a ramp over images seen, or a
            half-life in images.
        capture: replay training steps as captured CUDA graphs: where it is possible (None), or refuse to train where it
            is not (True), or never (False).
        compile: compile each network of the model (torch.compile).
        channels_last: keep pictures and weights in channels-last order, faster on many devices.
        wandb: mirror the run to Weights & Biases, e.g. ``--run.wandb WandbMirror`` (None: do not).
    """

    name: str = "run"
    root: str = "runs"
    images: int = 20000
    grid_every: int = 0
    evaluate_every: int = 0
    rate_images: int = 256
    health_every: int = 3200
    stop_on_collapse: bool = False
    stop_on_divergence: bool | None = None
    save_every: int = 0
    save_minutes: float = 10.0
    resume: Resume = "no"
    start_from: str | None = None
    ema: float | Ramp | HalfLife = 0.995
    capture: bool | None = None
    compile: bool = False
    channels_last: bool = False
    wandb: WandbMirror | None = None

    def __post_init__(self) -> None:
        check_counts("run", limit=IMAGE_LIMIT, images=self.images, rate_images=self.rate_images)
        for name in ("grid_every", "evaluate_every", "health_every", "save_every"):
            if not 0 <= getattr(self, name) <= IMAGE_LIMIT:
                raise UserError(f"run.{name} is {getattr(self, name)}: want a number of images, or 0")
        if not 0 <= self.save_minutes < math.inf:
            raise UserError(f"run.save_minutes is {self.save_minutes}: want minutes, or 0")
        if self.capture and self.compile:
            raise UserError("run.capture is True beside run.compile: want one of them")
        decays: tuple[float, ...] = () if isinstance(self.ema, HalfLife | Ramp) else (self.ema,)
        if isinstance(self.ema, Ramp):
            decays = (self.ema.start, self.ema.end)
        for decay in decays:
            if not 0 <= decay < 1:
                raise UserError(f"run.ema is {decay}: want 0 to 1, without 1")
        if not self.name or Path(self.name).name != self.name:
            raise UserError(f"run.name is {self.name!r}: want the name of one folder")

    @property
    def folder(self) -> Path:
        """``root/name``."""
        return Path(self.root) / self.name
