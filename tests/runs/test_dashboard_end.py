"""The page's server ends with the command that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CODE = """
import sys
from lightning_gen.runs import dashboard
print(dashboard._serve([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_server_too(number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this signal is ignored here, as for what a shell starts in the background")
    with subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True) as command:
        server = int(command.stdout.readline())
        os.kill(command.pid, number)
        assert command.wait(20) == 0
    end = time.monotonic() + 20
    while Path(f"/proc/{server}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{server}").exists()
