"""``python -m lightning_gen`` is the command ``lightning-gen``."""

from lightning_gen.config.cli import entry

if __name__ == "__main__":
    entry()
