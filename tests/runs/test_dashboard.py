"""The page in a real browser: what it shows, that it follows a run, that nothing from a run folder acts in it."""

import json
import socket

import pytest

from lightning_gen.config.cli import main
from lightning_gen.runs.dashboard import command
from tests.pages import browser, served, wait

from .conftest import bits, evaluation

ATTACK = "<img src=x onerror=alert(1)>"


def test_a_taken_port_and_a_missing_folder_are_one_plain_line(tmp_path, capsys):
    assert main(["dashboard", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist: want a run" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["dashboard", str(tmp_path), "--port", str(port)]) == 2
    assert f"port is {port}, which cannot be had" in capsys.readouterr().err


def test_the_page_is_for_this_machine_alone(tmp_path):
    words = command([tmp_path], 8501, 5)
    assert "--server.address=127.0.0.1" in words
    assert "--browser.gatherUsageStats=false" in words


def _served(folder):
    return served(lambda port: command([folder], port, 1))


def _handshake(url, host, origin=None):
    """The first line of the answer to a websocket that says it was meant for `host`."""
    port = int(url.rpartition(":")[2])
    lines = ["GET /_stcore/stream HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    lines += [f"Origin: {origin}"] if origin else []
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.recv(200).decode(errors="replace").splitlines()[0]


def test_a_websocket_under_a_forged_host_is_refused(tmp_path):
    pytest.importorskip("streamlit")
    with _served(tmp_path) as url:
        wait(url)
        assert "101" in _handshake(url, url.removeprefix("http://"))
        assert "101" in _handshake(url, "localhost:" + url.rpartition(":")[2])
        assert "403" in _handshake(url, "evil.example")
        assert "403" in _handshake(url, "127.0.0.1.evil.example")
        assert "403" in _handshake(url, url.removeprefix("http://"), "http://evil.example")


def test_in_a_browser(make_run, tmp_path):
    pytest.importorskip("streamlit", reason="no streamlit: pip install lightning-gen[app]")
    make_run("first", [evaluation(bits(2.0))])
    folder = make_run("second", [evaluation(bits(2.2, "elbo"))], latent_dim=3, offset=0.2)
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(about | {"model": ATTACK}))
    with browser() as play, _served(tmp_path / "runs") as url:
        wait(url)
        page = play.new_page(viewport={"width": 390, "height": 800})
        asked, alerts = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        page.goto(url, timeout=60000)
        page.set_default_timeout(60000)
        page.get_by_text("2.000 ± 0.010").first.wait_for()
        page.get_by_text("exact: the negative log-likelihood").first.wait_for()
        # A row that a training writes now is on the page without a reload.
        with open(folder / "metrics.jsonl", "a") as stream:
            stream.write(json.dumps({"images_seen": 7777, "seconds": 20.0, "train/new_metric": 1.0}) + "\n")
        page.get_by_text("7,777").first.wait_for()
        page.get_by_role("tab", name="Curves").click()
        page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
        page.get_by_role("tab", name="Samples").click()
        page.get_by_text("first, 6,000 images seen").wait_for()
        slider = page.get_by_role("slider")
        slider.press("ArrowLeft")
        page.get_by_text("first, 3,000 images seen").wait_for()
        page.get_by_role("tab", name="Differences").click()
        page.get_by_text("Keys that differ").wait_for()
        assert page.locator("body").evaluate("e => e.scrollWidth <= innerWidth + 1")
        assert alerts == []
        assert all(address.startswith((url, "data:", "blob:")) for address in asked), asked
