"""Threads that compute with torch."""

from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["computing_threads"]


def computing_threads(count: int) -> ThreadPoolExecutor:
    """A pool of `count` threads, 1 or more, whose work may call torch, also in a forked process (``ddp_fork``).

    After a fork torch makes its own pool anew when a thread first computes. Two threads that do so at once fail with
    "Invalid thread pool", so the calling thread makes it here, before they start.
    """
    torch.set_num_threads(torch.get_num_threads())
    return ThreadPoolExecutor(count)
