"""The door from Python: ``import lightning_gen as lg; run = lg.load("runs/dcgan"); run.sample(16)``."""

from lightning_gen.api.images import Images
from lightning_gen.api.measurements import Measurements
from lightning_gen.api.run import Run, load
from lightning_gen.api.runs import Runs, load_runs

__all__ = ["Images", "Measurements", "Run", "Runs", "load", "load_runs"]
