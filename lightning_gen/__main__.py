"""``python -m lightning_gen`` is the command ``lightning-gen``."""

from lightning_gen.config.cli import entry

entry()
