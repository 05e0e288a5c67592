"""Work that repeats, as captured CUDA graphs: recorded once, then launched whole.

A graph reads and writes the same memory at every launch. So all that outlives a piece of work must be in tensors that
were made before it, and be changed in place.
"""

from collections.abc import Callable, Hashable
from typing import ClassVar, Protocol, final

import torch

__all__ = ["Graph", "Graphs", "Recorder", "Replays", "can_capture"]

Work = Callable[[], object]


class Graph(Protocol):
    """Work that was recorded."""

    def replay(self) -> None:
        """Launch it."""


#: records work, which has run before, without running it
Recorder = Callable[[Work], Graph]


@final
class Graphs:
    """Captures work on the present CUDA device. All graphs of one such object share their memory: they may never run at
    once, and none may read what another has made."""

    _streams: ClassVar[dict[int, torch.cuda.Stream]] = {}

    def __init__(self) -> None:
        torch.cuda.empty_cache()  # what earlier graphs have left: their memory serves no others
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Graph:
        """Capture what `work` launches. It reads nothing back."""
        graph, device = torch.cuda.CUDAGraph(), torch.cuda.current_device()
        if device not in Graphs._streams:  # one for all: libraries keep memory for every stream that they have seen
            Graphs._streams[device] = torch.cuda.Stream()
        torch.clear_autocast_cache()  # it may hold casts that were made outside of the graph, and would keep its own
        torch.cuda.synchronize()
        with torch.cuda.stream(Graphs._streams[device]):
            graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        torch.clear_autocast_cache()
        return graph


@final
class Replays:
    """Pieces of work of several kinds, each done many times. On a CUDA device a kind runs in Python the first time, is
    captured at the second and replayed from then on; elsewhere it always runs in Python.

    Args:
        device: that the work is on.
        wanted: False: always in Python.
    """

    #: kind of device -> makes a recorder
    recorders: ClassVar[dict[str, Callable[[], Recorder]]] = {"cuda": Graphs}

    def __init__(self, device: torch.device, wanted: bool = True) -> None:
        self.record = self.recorders[device.type]() if wanted and can_capture(device) else None
        self.graphs: dict[Hashable, Graph] = {}
        self.seen: set[Hashable] = set()

    def run(self, kind: Hashable, work: Work) -> None:
        """Do `work`. Work of equal `kind` must do the same on the same memory."""
        if self.record is None or kind not in self.seen:
            self.seen.add(kind)
            work()
            return
        if kind not in self.graphs:
            self.graphs[kind] = self.record(work)
        self.graphs[kind].replay()


def can_capture(device: torch.device) -> bool:
    """Whether work on `device` can be captured."""
    return device.type in Replays.recorders
