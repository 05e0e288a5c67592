"""Threads that compute with torch do so in a forked process too."""

import subprocess
import sys

# In a process of its own: a fork wants a parent without threads. Each child computes on eight threads at one moment.
FORKS = """
import os, threading, torch
from lightning_gen.threads import computing_threads

torch.set_num_threads(1)
torch.ones(10).max()


def child():
    together = threading.Barrier(8, timeout=60)

    def largest(value):
        x = torch.full((10,), value)
        together.wait()
        return int(x.max())

    with computing_threads(8) as pool:
        return list(pool.map(largest, range(8))) != list(range(8))


for _ in range(20):
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = int(child())
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_forked_processes_compute_on_several_threads():
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
