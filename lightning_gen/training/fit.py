"""``lightning-gen fit``: configuration -> model, data, trainer -> a run folder. Importing it loads nothing heavy."""

from typing import Any

__all__ = ["build", "main"]


def build(arguments: list[str]) -> Any:
    """The one construction path: configuration -> an object with .model, .datamodule, .trainer, .config."""
    from lightning_gen.training import train

    return train.build(arguments)


def main(arguments: list[str]) -> None:
    """Train from configuration into a run folder, or print help."""
    from lightning_gen.training.help import asks_for_help, help_text

    if asks_for_help(arguments):
        print(help_text())
        return
    from lightning_gen.training.train import train

    train(arguments)
