"""A double of a CUDA graph: records the operations of a piece of work with the tensors that they read and write, and
does them again on the same memory. Python does not run again, as in a graph."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_gen.graphs import Replays


def _storages(values):
    return {v.untyped_storage().data_ptr() for v in tree_leaves(values) if isinstance(v, Tensor)}


class _Recording(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [v for v in tree_leaves(out) if isinstance(v, Tensor)]
        alias = bool(_storages(made) & _storages((args, kwargs)))
        if not alias or func._schema.is_mutable:  # views stay what they are
            self.operations.append((func, args, kwargs or {}, [] if alias else made))
        return out


class RecordedGraph:
    """Work that was recorded while it ran; the first replay, which follows at once, is that run. After each one what
    the work made for itself is spoilt, as by other graphs that share the memory, unless some of it is to be kept.

    Args:
        work: see `lightning_gen.graphs.Recorder`.
    """

    spoils = True

    def __init__(self, work):
        with _Recording() as recording:
            work()
        self.operations, self.ran = recording.operations, True

    def replay(self):
        with torch.no_grad():
            for func, args, kwargs, made in () if self.ran else self.operations:
                again = [v for v in tree_leaves(func(*args, **kwargs)) if isinstance(v, Tensor)]
                for old, new in zip(made, again if made else (), strict=True):
                    old.copy_(new)
        self.ran = False
        for _, _, _, made in self.operations if self.spoils else ():
            for value in made:
                value.fill_(float("nan") if value.is_floating_point() else 77)


class Recorder:
    """Makes such graphs, and keeps them."""

    graphs: ClassVar[list[RecordedGraph]] = []

    def __call__(self, work):
        self.graphs.append(RecordedGraph(work))
        return self.graphs[-1]


@pytest.fixture
def recorded(monkeypatch):
    """Work on the CPU is recorded and replayed; gives the list of recordings."""
    monkeypatch.setattr(Recorder, "graphs", [])
    monkeypatch.setitem(Replays.recorders, "cpu", Recorder)
    return Recorder.graphs


@pytest.fixture
def recorded_steps(recorded, monkeypatch):
    """The same for training steps, whose gradients and losses are kept."""
    monkeypatch.setattr(RecordedGraph, "spoils", False)
    return recorded
