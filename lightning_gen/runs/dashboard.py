"""A live page over run folders: leaderboard, curves, sample grids through time, differences; on this machine alone."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType

from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.errors import UserError

__all__ = ["command", "main"]

#: nobody else on the network sees the page; from another machine: ssh -L 8501:127.0.0.1:8501 HOST
_ADDRESS = "127.0.0.1"


def main(arguments: list[str]) -> None:
    """``lightning-gen dashboard FOLDER [FOLDER ...] [--port 8501] [--every 5]``."""
    parser = Arguments("dashboard", __doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a run, or a folder that holds runs")
    parser.add_argument("--port", type=positive, default=8501, help="of the page, on 127.0.0.1 (8501)")
    parser.add_argument("--every", type=positive, default=5, help="seconds between two looks at the folders (5)")
    options = parser.parse_args(arguments)

    for folder in options.folders:
        if not folder.is_dir():  # one without runs is fine: they may come while the page is open
            raise UserError(f"folder {folder} does not exist: want a run, or a folder that holds runs")
    if importlib.util.find_spec("streamlit") is None:
        raise UserError("dashboard wants Streamlit: pip install 'lightning-gen[app]'")
    _check_free(options.port)
    print(f"dashboard: http://{_ADDRESS}:{options.port} (Ctrl-C ends it)", flush=True)
    status = _serve(command(options.folders, options.port, options.every))
    if status not in (0, -2, -15, 130, 143):
        raise UserError(f"dashboard ended with status {status}: Streamlit says why above")


def _serve(words: list[str]) -> int:
    """Run the server until it ends, or until this process is asked to end: it never outlives it. Its status."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    with subprocess.Popen(words) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return 0


def command(folders: list[Path], port: int, every: int) -> list[str]:
    """What is run: Streamlit, which sends nothing anywhere, listens on this machine alone and opens no browser."""
    settings = {
        "server.address": _ADDRESS,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
    }
    words = [f"--{key}={value}" for key, value in settings.items()]
    # A page elsewhere whose name is made to point here (DNS rebinding) still says its own name as the host.
    words += [f"--server.allowedHosts={host}" for host in (_ADDRESS, "localhost")]
    page = Path(__file__).with_name("board.py")
    return [sys.executable, "-m", "streamlit", "run", str(page), *words, "--", str(every), *map(os.fspath, folders)]


def _check_free(port: int) -> None:
    if port > 65535:
        raise UserError(f"port is {port}: want 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_ADDRESS, port))
        except OSError as error:
            raise UserError(f"port is {port}, which cannot be had ({error.strerror}): want another --port") from error
