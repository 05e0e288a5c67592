"""Pages of Streamlit for tests: a server on a free port, and a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest


@contextmanager
def served(command, **environment):
    """The address at which ``command(port)`` serves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    server = subprocess.Popen(command(port), env=environment, stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def wait(url):
    """Wait until the server answers."""
    for _ in range(600):
        try:
            return urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).read()
        except OSError:
            time.sleep(0.1)
    raise AssertionError("Streamlit did not start")


@contextmanager
def browser():
    """Chromium, the machine's own where there is one; skips where there is none."""
    sync = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install lightning-gen[app]")
    with sync.sync_playwright() as play:
        own = shutil.which("chromium") or shutil.which("google-chrome")
        try:
            found = play.chromium.launch(executable_path=own, args=["--no-sandbox"])
        except sync.Error as error:
            pytest.skip(f"no browser: {str(error).splitlines()[0]}")
        yield found
        found.close()
