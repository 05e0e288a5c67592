"""Callbacks that look at a training and leave it as it is: weights, modes, gradients and random numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from lightning_gen.training.random_state import random_state, set_random_state

__all__ = ["Observer", "eval_mode", "raised_by_observers"]


class Observer(Callback):
    """A callback that measures, inside `observing` alone."""

    #: whether it has measured since the last batch, and what went wrong then
    observed = False
    failure: Exception | None = None

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Leave the random number generators of this process as they were, compute no gradients, and hold errors back:
        see `holding_back`."""
        state = random_state()
        try:
            with self.holding_back(), torch.no_grad():
                yield
        finally:
            set_random_state(state)

    @contextmanager
    def holding_back(self) -> Iterator[None]:
        """Hold an error back until the training has saved its checkpoint. Call it on every process."""
        self.observed = True
        try:
            yield
        except Exception as error:  # whatever a model, a data set or a disk comes up with
            self.failure = self.failure or error


def raised_by_observers(trainer: Trainer) -> Exception | None:
    """Return an error that was held back on any process since the last call; the same, up to its words, on all."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    observers = [callback for callback in callbacks if isinstance(callback, Observer)]
    if not any(observer.observed for observer in observers):
        return None
    found = [observer.failure for observer in observers if observer.failure]
    for observer in observers:
        observer.observed, observer.failure = False, None
    if not trainer.strategy.reduce_boolean_decision(bool(found), all=False):
        return None
    return found[0] if found else RuntimeError("a measurement failed on another process")


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Put `module` into eval mode inside; each of its parts is back in its own mode afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
