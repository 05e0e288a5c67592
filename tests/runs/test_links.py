"""A run folder from elsewhere may hold links: nothing outside it is shown through them, and nothing is written."""

import json
import os

import pytest

from lightning_gen.config.cli import main
from lightning_gen.errors import UserError
from lightning_gen.files import append_json_line
from lightning_gen.runs.folder import METRICS, _seconds
from lightning_gen.runs.lock import hold
from lightning_gen.runs.pictures import read_picture
from lightning_gen.runs.read import read_run

from .conftest import bits, evaluation


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "metrics.jsonl", "evaluations.jsonl"])
def test_a_link_out_of_a_run_is_left_out_and_said(make_run, tmp_path, name, capsys):
    folder = make_run("a", [evaluation(bits(2.0))])
    kept = (folder / name).read_bytes()
    (tmp_path / "secret").write_bytes(kept)
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "secret")
    run = read_run(folder)
    assert any("leads out of" in problem for problem in run.problems)
    parts = {
        "run.json": run.about,
        "config.yaml": run.config,
        METRICS: run.metrics,
        "evaluations.jsonl": run.evaluations,
    }
    assert not parts[name]
    (folder / name).unlink()
    (folder / "real").write_bytes(kept)
    (folder / name).symlink_to("real")  # a link inside is fine
    assert read_run(folder).problems == []


def test_a_picture_from_outside_is_no_part_of_a_report(make_run, tmp_path):
    folder, other = make_run("a"), make_run("b", root=tmp_path / "elsewhere")
    newest = folder / "samples" / "0000006000.png"
    newest.unlink()
    newest.symlink_to(other / "samples" / "0000006000.png")
    run = read_run(folder)
    assert read_picture(run, newest, 100) is None
    assert "leads out of" in run.problems[0]
    report = tmp_path / "x.html"
    assert main(["compare", str(folder), "--html", str(report)]) == 0
    assert "6,000 training images" not in report.read_text()
    assert "3,000 training images" in report.read_text()
    assert "leads out of" in report.read_text()


def test_nothing_is_appended_to_or_locked_through_a_link(tmp_path):
    (tmp_path / "profile").write_text("mine\n")
    for name in (".lock", "metrics.jsonl"):
        (tmp_path / name).symlink_to(tmp_path / "profile")
    with pytest.raises(UserError, match="want no link there"), hold(tmp_path):
        pass
    with pytest.raises(UserError, match="is no ordinary file"):
        append_json_line(tmp_path / "metrics.jsonl", {"a": 1})
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is no ordinary file"):
        append_json_line(tmp_path / "pipe", {"a": 1})
    assert (tmp_path / "profile").read_text() == "mine\n"


def test_seconds_go_on_from_the_last_whole_row(tmp_path):
    path = tmp_path / METRICS
    assert _seconds(path) == 0.0
    rows = [{"images_seen": i, "seconds": i / 2, "pad": "x" * 5000} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"seconds": "x"}\n{"seconds": 1e400}\n{"sec')
    assert _seconds(path) == 19.5


def test_a_terminal_obeys_nothing_of_a_run(make_run, tmp_path, capsys):
    folder = make_run("a", [evaluation(bits(2.0), checkpoint="\x1b[2Jlast")])
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(
        json.dumps({**about, "model": "\x1b]0;title\x07VAE", "data": "\ud800", "seed": 10**400})
    )
    for form in ([], ["--json"], ["--csv"], ["--markdown"], ["--html", str(tmp_path / "x.html")]):
        assert main(["compare", str(folder), *form]) == 0
        assert "\x1b" not in capsys.readouterr().out
