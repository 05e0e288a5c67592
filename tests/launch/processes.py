"""Processes of one training, as torchrun starts them, but forked: a start costs no imports.

And the trainings that the workers of a sweep have started.

The parent must not have computed anything with torch on several threads before it forks: their pool does not survive
that, and children would wait for it for ever.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from lightning_gen.config.cli import main
from lightning_gen.training.fit import build

__all__ = ["Pair", "Together", "prepare", "train_in_one_and_two", "trainings_under_way"]


def trainings_under_way(root: Path) -> list[tuple[int, int]]:
    """Process and parent of each training (of ``trainer.py``) that runs in `root`, has logged and has more to do."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            name = next(word.partition("=")[2] for word in words if word.startswith("--run.name="))
            rows = len((root / name / "metrics.jsonl").read_text().splitlines())
            if f"--run.root={root}" in words and 1 <= rows <= 3:
                found.append((int(process.name), parent))
        except (OSError, StopIteration):  # it has ended, or is no training
            continue
    return found


def prepare(arguments: list[str]) -> None:
    """Load here what the children of these arguments would each load for themselves; they compute on one thread."""
    torch.set_num_threads(1)
    assert build(arguments[1:]).datamodule.fingerprint


class Together:
    """A function in `world` processes, each with what torchrun tells it where there are several.

    Args:
        work: what each does; its return value is the exit status, None is 0.
        log: file that takes what they print.
        world: number of processes.
    """

    def __init__(self, work: Callable[[], int | None], log: Path, world: int = 2) -> None:
        self.port, self.world = _free_port(), world
        self.pids = [self._fork(work, log, rank) for rank in range(world)]
        self.statuses: dict[int, int] = {}

    def _fork(self, work: Callable[[], int | None], log: Path, rank: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 70
        try:
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            if self.world > 1:
                os.environ |= _environment(rank, self.world, self.port)
            status = work() or 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)

    def running(self) -> bool:
        """Whether any process still runs."""
        for pid in self.pids:
            if pid not in self.statuses:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    self.statuses[pid] = os.waitstatus_to_exitcode(status)
        return len(self.statuses) < len(self.pids)

    def signal(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to all that run."""
        for pid in self.pids:
            if pid not in self.statuses:
                os.kill(pid, number)

    def wait(self, seconds: float = 1800.0) -> list[int]:
        """Exit statuses, a signal's number negative; all are killed when `seconds` have passed."""
        end = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > end:
                self.signal()
            time.sleep(0.01)
        return [self.statuses[pid] for pid in self.pids]


class Pair(Together):
    """``lightning-gen`` ARGUMENTS in `world` processes; see `Together`."""

    def __init__(self, arguments: list[str], log: Path, world: int = 2) -> None:
        super().__init__(lambda: main(arguments), log, world)


def train_in_one_and_two(work: Callable[[str, int, int], None], folder: Path) -> None:
    """Call ``work(path, rank, world)`` in two processes with ``folder/two`` as path, and in one with ``folder/one``."""
    torch.set_num_threads(1)
    log = folder / "log.txt"
    for name, world in (("two", 2), ("one", 1)):
        statuses = Together(partial(_work_of_rank, work, str(folder / name), world), log, world).wait()
        assert statuses == [0] * world, log.read_text()[-10000:]


def _work_of_rank(work: Callable[[str, int, int], None], path: str, world: int) -> None:
    work(path, int(os.environ.get("RANK", 0)), world)


def _environment(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun tells each process."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
