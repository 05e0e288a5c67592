"""Signals that ask a training to leave: it saves between two batches and ends; Slurm puts its job back in the queue."""

import os
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment

__all__ = ["Agreement", "Preempted", "Signals", "leave"]

#: sent ahead of the end of a Slurm job, by ``--signal`` or by hand: leave and come back
_REQUEUE = (signal.SIGUSR1, signal.SIGUSR2)
#: sent by cloud machines about to vanish, ``scancel`` and torchrun; by a closed terminal; by Ctrl-C: leave
_END = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Preempted(Exception):  # noqa: N818
    """A training that was asked to leave has written its checkpoint.

    Args:
        number: of the signal.
        images_seen: at the checkpoint.
    """

    def __init__(self, number: int, images_seen: int) -> None:
        super().__init__(f"{signal.Signals(number).name} after {images_seen:,} images")
        self.number, self.images_seen = number, images_seen


class Signals:
    """Note the last signal that this process was sent, 0 for none.

    Nothing else happens when it arrives, so that no half step is ever saved. It works in the main thread only;
    elsewhere, signals keep their meaning.
    """

    def __init__(self) -> None:
        self.number, self.first = 0, False

    def install(self, trainer: Trainer) -> None:
        """Take the signals over from Lightning, which saves in the middle of a step.

        Lightning puts back what was there before once the training has ended.
        """
        self.first = trainer.is_global_zero
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if isinstance(environment, SLURMEnvironment):
            environment.auto_requeue = False
        for number in (*_REQUEUE, *_END):
            if signal.getsignal(number) is signal.SIG_IGN:  # under nohup, or in the background of a script
                continue
            try:
                signal.signal(number, self._note)
            except ValueError:  # not the main thread
                return

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.number == number:
            raise KeyboardInterrupt
        if number == signal.SIGINT and self.first:
            print("lightning-gen: Ctrl-C: saving after this batch; once more leaves at once", file=sys.stderr)
        self.number = number


class Agreement:
    """Agree over all processes on a signal and on a save by the clock, without a message in every batch.

    Each agreement fixes, alike for all processes, after how many batches the next one comes: about `seconds` later by
    the pace of the batches so far. A single process needs no messages and answers at once.

    Args:
        seconds: between two agreements.
        most: batches between two agreements.
    """

    def __init__(self, seconds: float = 1.0, most: int = 1000) -> None:
        self.seconds, self.most = seconds, most
        self.batches, self.wait = 0, 1
        self.at: float | None = None

    def __call__(self, trainer: Trainer, number: int, passed: bool) -> tuple[int, bool]:
        """Take a signal and whether it is time to save, as this process sees it after a batch; return what all agree
        on: the largest signal of any process, and whether any of them wants to save. 0 and False between agreements.
        """
        if trainer.world_size == 1:
            return number, passed
        self.batches += 1
        if self.batches < self.wait:
            return 0, False
        now = time.monotonic()
        pace = (now - self.at) / self.wait if self.at is not None else self.seconds
        wait = min(self.most, max(1, int(self.seconds / max(pace, 1e-9))))
        found = torch.tensor([number, int(passed), -wait], device=trainer.strategy.root_device)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        number, save, least = found.tolist()
        self.batches, self.wait, self.at = 0, -least, now
        return number, bool(save)


def leave(stop: Preempted, trainer: Trainer) -> None:
    """End this process after a `Preempted`: with status 0 where Slurm has taken the job back into its queue, else with
    128 and the number of the signal. The first process says so in one line."""
    job = _job()
    if stop.number not in _REQUEUE or job is None:
        _say(trainer, f"{stop}: checkpoint written, go on with --run.resume same")
        raise SystemExit(128 + stop.number)
    if trainer.is_global_zero:
        found = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
        if found.returncode:
            _say(trainer, f"{stop}: checkpoint written, but job {job} is not requeued: {found.stderr.strip()}")
            raise SystemExit(128 + stop.number)
        _say(trainer, f"{stop}: checkpoint written, job {job} requeued")
    raise SystemExit(0)


def _say(trainer: Any, line: str) -> None:
    if trainer.is_global_zero:
        print(f"lightning-gen: {line}", file=sys.stderr, flush=True)


def _job() -> str | None:
    """What ``scontrol`` calls this job: of an array, the one task of it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
