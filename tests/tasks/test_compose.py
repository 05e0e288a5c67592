"""Melodies over chords: files that read back, one seed one tune, mistakes in one line with nothing written."""

import base64
import re
import wave
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

pytest.importorskip("mido")

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.music.midi import read_tune
from lightning_gen.music.notation import parse_chords
from lightning_gen.music.sound import sine_wav
from lightning_gen.tasks.compose import compose
from tests.music.tunes import midi, triad, tune

QUIET = ["--trainer.accelerator", "cpu", "--evaluation.samples", "0", "--run.images", "64", "--run.name", "x"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A MidiNet and a Markov chain after a few batches."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("midinet", "markov"):
        assert main(["fit", "-c", f"configs/music/{name}.yaml", "--run.root", str(root / name), *QUIET]) == 0
    return {name: root / name / "x" for name in ("midinet", "markov")}


@pytest.mark.parametrize("name", ["midinet", "markov"])
def test_a_melody_is_written_in_every_form(name, runs, tmp_path, capsys):
    words = ["compose", str(runs[name]), "--chords", "D G Bm", "--bars", "5", "--out", str(tmp_path / "tune")]
    assert main(words) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 5 + 1
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".mid", ".musicxml", ".png", ".wav"]
    melody = compose(load_module(runs[name] / "checkpoints" / "last.ckpt"), parse_chords("D G Bm D G"))[0]
    found = read_tune((tmp_path / "tune.mid").read_bytes())
    assert found.chords.tolist() == parse_chords("D G Bm D G")[: len(found.chords)]
    assert torch.equal(found.bars[: len(melody)], melody[: len(found.bars)])
    score = ElementTree.parse(tmp_path / "tune.musicxml").getroot()
    for measure in score.iter("measure"):
        assert sum(int(duration.text) for duration in measure.iter("duration")) == 16
    with wave.open(str(tmp_path / "tune.wav")) as sound:
        assert sound.getnframes() / sound.getframerate() >= 5 * 2.0


def test_one_seed_is_one_tune_and_a_first_bar_matters(runs):
    module = load_module(runs["midinet"] / "checkpoints" / "last.ckpt")
    chords = parse_chords("D G")
    one, same, other = (compose(module, chords, 2, seed) for seed in (0, 0, 1))
    assert one.shape == (2, 2, 16)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    first = read_tune(tune(1)).bars[-1]
    module.generator.last.weight.data.mul_(100)  # after one batch the noise of the symbols is louder than the network
    assert not torch.equal(compose(module, chords, 2, 0), compose(module, chords, 2, 0, first=first))


def test_a_first_bar_comes_from_a_file(runs, tmp_path):
    (tmp_path / "first.mid").write_bytes(tune(2))
    words = ["--chords", "D", "--first", str(tmp_path / "first.mid"), "--count", "2", "--out", str(tmp_path / "t")]
    assert main(["compose", str(runs["midinet"]), *words]) == 0
    assert {"t1.mid", "t2.mid", "t.png"} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--chords", "D X"], "--chords has 'X': want a root A to G"),
        (["--chords", " "], "--chords is ' ': want names such as D"),
        (["--chords", "D", "--bars", "0"], "'0' given: want a whole number"),
        (["--chords", "D", "--tempo", "5"], "--tempo is 5: want 20 to 400"),
        ([], "--chords is missing"),
        (["--like", "FILE"], "meter 7/8; want a melody with chords in 4/4"),
        (["--like", "TUNE", "--bars", "99"], "--like has 1 usable bars"),
        (["--chords", "D", "--beside", "RUN"], "--beside given without --page"),
        (["--chords", "D", "--page", "page.txt"], "want a name that ends in .html"),
        (["--chords", "D", "--count", "99", "--bars", "9", "--page", "p.html"], "a page wants 512 bars at most"),
        (["--chords", "D", "--soundfont", "none.sf2"], "--soundfont"),
        (["--chords", "D", "--first", "none.mid"], "--first is none.mid, which cannot be read"),
        (["--chords", "D", "--first", "FILE"], "meter 7/8; want a melody with chords in 4/4"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(words, said, runs, tmp_path, capsys):
    (tmp_path / "odd").mkdir()
    odd = tmp_path / "odd" / "odd.mid"
    odd.write_bytes(midi([(60, 0, 4)], triad(48, 0, 4), meter=(7, 8)))
    (tmp_path / "odd" / "tune.mid").write_bytes(tune(1))
    places = {"FILE": str(odd), "TUNE": str(tmp_path / "odd" / "tune.mid"), "RUN": str(runs["midinet"])}
    words = [places.get(word, word) for word in words]
    assert main(["compose", str(runs["markov"]), *words, "--out", str(tmp_path / "tune")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert [p.name for p in tmp_path.iterdir()] == ["odd"]


def test_a_run_of_images_is_refused(tmp_path, capsys):
    words = ["fit", "-c", "configs/vae/vae.yaml", "--run.root", str(tmp_path), *QUIET]
    assert main(words) == 0
    capsys.readouterr()
    assert main(["compose", str(tmp_path / "x"), "--chords", "D"]) == 2
    assert "compose wants one of melodies" in capsys.readouterr().err
    assert not list(Path(tmp_path / "x").rglob("*.mid"))


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_a_page_plays_the_real_tune_and_every_run(runs, tmp_path):
    (tmp_path / "<b>.mid").write_bytes(tune(1))
    page = tmp_path / "page.html"
    words = ["--like", str(tmp_path / "<b>.mid"), "--beside", str(runs["markov"]), "--page", str(page), "--seed", "3"]
    assert main(["compose", str(runs["midinet"]), *words, "--count", "2", "--out", str(tmp_path / "t")]) == 0
    found = Page(page.read_text())
    real = read_tune(tune(1))
    chords, bars = real.chords.tolist(), real.bars
    for tag in ("audio", "img", "h2"):
        assert len(found.all(tag)) == 1 + 2 + 2  # the name of the tune is no markup
    sounds = [base64.b64decode(audio["src"].partition("base64,")[2]) for audio in found.all("audio")]
    assert sounds[0] == sine_wav(bars, chords)
    [first] = compose(load_module(runs["markov"] / "checkpoints" / "last.ckpt"), chords, 2, 3)[:1]
    assert sounds[3] == sine_wav(first, chords)
    scores = [base64.b64decode(link["href"].partition("base64,")[2]) for link in found.all("a")]
    assert torch.equal(read_tune(scores[0]).bars, bars)
    assert "//" not in re.sub('base64,[^"]*', "", page.read_text())


def test_a_training_leaves_a_melody_beside_its_grid(runs):
    grids = sorted((runs["midinet"] / "samples").glob("*.png"))
    with wave.open(str(grids[-1].with_suffix(".wav"))) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(16, abs=0.2)
