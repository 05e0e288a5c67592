"""A callback that has nothing to do at a hook should not pay for it."""

from typing import Any

from lightning.pytorch import Callback

__all__ = ["Watcher"]


class Watcher(Callback):
    """A callback of which Lightning calls, within a batch, only those hooks that a subclass defines.

    A batch of a GAN has eight rounds of hooks over all callbacks. A hook that is not callable is passed over; one that
    does nothing has its name made up for a profiler, and the hook noted in the module, before it is called.
    """

    on_train_batch_start: Any = None
    on_before_backward: Any = None
    on_after_backward: Any = None
    on_before_optimizer_step: Any = None
    on_before_zero_grad: Any = None
    on_train_batch_end: Any = None
