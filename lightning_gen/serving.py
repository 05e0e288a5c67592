"""Pages in the browser, served by Streamlit to this machine alone."""

import importlib.util
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from lightning_gen.errors import UserError

__all__ = ["ADDRESS", "as_text", "check_page", "page_command", "serve"]

#: nobody else on the network sees a page; from another machine: ssh -L 8501:127.0.0.1:8501 HOST
ADDRESS = "127.0.0.1"


def check_page(name: str, port: int) -> None:
    """Raise `UserError` where the page of the command `name` cannot be served."""
    if importlib.util.find_spec("streamlit") is None:
        raise UserError(f"{name} wants Streamlit: pip install 'lightning-gen[app]'")
    if port > 65535:
        raise UserError(f"port is {port}: want 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise UserError(f"port is {port}, which cannot be had ({error.strerror}): want another --port") from error


def page_command(page: Path, port: int, words: Sequence[str]) -> list[str]:
    """Say what is run: Streamlit, which sends nothing anywhere, listens on this machine alone and opens no browser.

    Args:
        page: script of the page.
        port: of the page.
        words: arguments of the script.
    """
    settings = {
        "server.address": ADDRESS,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
    }
    options = [f"--{key}={value}" for key, value in settings.items()]
    # A page elsewhere whose name is made to point here (DNS rebinding) still says its own name as the host.
    options += [f"--server.allowedHosts={host}" for host in (ADDRESS, "localhost")]
    return [sys.executable, "-m", "streamlit", "run", str(page), *options, "--", *words]


def serve(words: list[str]) -> int:
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


def as_text(text: str) -> str:
    """Write text so that Streamlit's Markdown shows it as it is: names come from files that anyone may have written."""
    return re.sub(r"([\\`*_{}\[\]()#+\-!|<>~$:])", r"\\\1", text)
