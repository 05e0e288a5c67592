"""The report holds everything in one file, and nothing from a run folder can act in it."""

import base64
import hashlib
import re
import wave
from html.parser import HTMLParser

import numpy as np
import pytest

from lightning_gen.config.cli import main
from lightning_gen.files import write_png
from lightning_gen.runs.charts import build_charts
from lightning_gen.runs.read import read_runs
from lightning_gen.runs.report import differences

from .conftest import bits, evaluation

ATTACK = "<script>alert(1)</script>".replace("/", "∕")
VOID = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """Checks that elements nest; collects elements and scripts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.scripts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


@pytest.fixture
def page(make_run, tmp_path):
    make_run("a", [evaluation(bits(2.0))])
    make_run("b", [evaluation(bits(2.2, "elbo"))], latent_dim=ATTACK, offset=0.1)
    make_run(ATTACK, [evaluation(bits(None), checkpoint=ATTACK)])
    make_run("png", [evaluation(bits(3.0, error=None))], kind="baseline")
    assert main(["compare", str(tmp_path), "--html", str(tmp_path / "report.html")]) == 0
    assert not list(tmp_path.glob(".report.html*"))
    return (tmp_path / "report.html").read_text()


def test_the_page_is_whole_and_needs_no_network(page):
    elements = Page(page).elements
    # The data names are inert: only these attributes make a browser load something.
    loaded = [a[key] for _, a in elements for key in ("src", "href", "action", "data", "poster") if key in a]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in loaded)
    assert "url(" not in page
    assert "@import" not in page


def test_nothing_from_a_run_becomes_markup(page):
    assert ATTACK in re.sub("&lt;", "<", re.sub("&gt;", ">", page))
    assert ATTACK not in page
    parsed = Page(page)
    assert not [key for _, attributes in parsed.elements for key in attributes if key.startswith("on")]
    own = parsed.scripts[-1]
    assert all("<" not in data for data in parsed.scripts[:-1])
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    [policy] = [a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_the_page_can_be_heard(page):
    elements = Page(page).elements
    images = [attributes for tag, attributes in elements if tag == "img"]
    assert len(images) == 6
    assert all(attributes["alt"] for attributes in images)
    assert all("scope" in attributes for tag, attributes in elements if tag == "th")
    assert ("html", {"lang": "en"}) in elements
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page


def test_the_page_tells_what_the_runs_are(page):
    for words in ("9eb3950", "228,497", "6,000 images seen", "2.000 ± 0.010", "not finite", "12 s"):
        assert words in page
    assert "held against png, 3.000" in page


def test_only_keys_that_differ_are_shown(make_run, tmp_path):
    make_run("a")
    make_run("b", latent_dim=3)
    shared, partial = differences(read_runs([tmp_path]))
    assert shared == {"model.latent_dim": ["16", "3"]}
    assert partial == {}


def test_a_curve_is_broken_where_it_is_not_finite(make_run):
    folder = make_run("a")
    values = [3.0, None, 2.0, 1.0]
    lines = [f'{{"images_seen": {i}, "x": {"null" if v is None else v}}}\n' for i, v in enumerate(values)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    [chart] = build_charts(read_runs([folder]))
    [series] = chart.series
    assert series.path.count("M") == 2
    assert [p.images_seen for p in series.alone] == [0]
    assert [p.images_seen for p in series.broken] == [1]


def test_long_curves_are_thinned_without_losing_a_spike(make_run):
    folder = make_run("a")
    lines = [f'{{"images_seen": {i}, "x": {100 if i == 4321 else 1 + i / 9999}}}\n' for i in range(10000)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    [chart] = build_charts(read_runs([folder]))
    assert len(chart.series[0].points) < 500
    assert chart.series[0].extremes == (1.0, 100.0)


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [-3.0, 5.0], [1e-9, 1e9], [0.0, 2.0], [None]])
def test_every_range_of_values_fits_the_chart(make_run, values):
    folder = make_run("a")
    lines = [f'{{"images_seen": {i}, "x": {"null" if v is None else v}}}\n' for i, v in enumerate(values)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    [chart] = build_charts(read_runs([folder]))
    for point in chart.series[0].points:
        assert 52 <= point.x <= 428.001
        assert 11.999 <= point.y <= 226.001


def test_different_data_never_share_a_chart(make_run, tmp_path):
    make_run("a")
    folder = make_run("b")
    about = (folder / "run.json").read_text()
    (folder / "run.json").write_text(about.replace("c31bcbf41854af2c", "0000000000000000"))
    assert [len(chart.series) for chart in build_charts(read_runs([tmp_path]))] == [1, 1]


def test_a_damaged_picture_costs_that_picture_alone(make_run, tmp_path):
    folder = make_run("a")
    newest = folder / "samples" / "0000006000.png"
    newest.write_bytes(newest.read_bytes()[:60])
    assert main(["compare", str(folder), "--html", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "3,000 images seen" in page
    assert "6,000 images seen" not in page


def test_nearest_training_images_and_means_over_seeds_are_on_the_page(make_run, tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        folder = make_run(name, [evaluation(bits(2.0 + seed / 10))])
        (folder / "config.yaml").write_text(f"seed_everything: {seed}\nmodel: VAE\nrun: {{name: {name}}}\n")
    write_png(folder / "neighbours.png", np.zeros((20, 30, 3), dtype=np.uint8))
    (folder / "neighbours.json").write_text('{"ratio": 0.5, "copies": 3, "samples": 256}')
    (tmp_path / "runs" / "a" / "neighbours.json").write_text("torn")
    assert main(["compare", str(tmp_path), "--html", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    Page(page)
    assert "ratio 0.500" in page
    assert "3 exact copies among 256 samples" in page
    assert "2.050 ± 0.050" in page


def test_a_melody_beside_the_newest_grid_can_be_played_and_a_damaged_one_is_said(make_run, tmp_path):
    for name in ("good", "damaged"):
        path = make_run(name, [evaluation(bits(2.0))]) / "samples" / "0000006000.wav"
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(1600))
    path.write_bytes(path.read_bytes()[:30])
    assert main(["compare", str(tmp_path), "--html", str(tmp_path / "report.html")]) == 0
    page = Page((tmp_path / "report.html").read_text())
    [player] = [attributes for tag, attributes in page.elements if tag == "audio"]
    good = tmp_path / "runs" / "good" / "samples" / "0000006000.wav"
    assert player["src"] == f"data:audio/wav;base64,{base64.b64encode(good.read_bytes()).decode()}"
    assert "cannot be decoded: want a whole WAV file" in (tmp_path / "report.html").read_text()
