"""lightning-gen: every classic family of generative image models under one command, one evaluation, one dashboard.

From Python: ``import lightning_gen as lg; run = lg.load("runs/dcgan"); run.sample(16)`` (docs/python.md).
Importing this package loads nothing heavy.

The house, floor by floor (a test enforces that imports only point downward):

    config.cli, api                          the one command; the door from Python
    launch, training, tasks, runs            sweeps and clusters; fit; what a trained model is for; the run folder
    config                                   parser, loading, trust
    evaluation                               the one protocol behind training and `lightning-gen evaluate`
    models          data         metrics     one paper one file; image sets; distances over uint8 batches
    contracts                                what a model and a data set promise
    nets, losses, distributions, bijections  torch only
    images, batches, files, errors           the ground
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_gen.api import Images, Measurements, Run, Runs, load, load_runs

__version__ = "0.1.0"

__all__ = ["Images", "Measurements", "Run", "Runs", "__version__", "load", "load_runs"]


def __getattr__(name: str) -> Any:
    """Import the door from Python when it is first used."""
    if name in ("Images", "Measurements", "Run", "Runs", "load", "load_runs"):
        from lightning_gen import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
