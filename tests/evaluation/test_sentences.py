"""What is read off pictures of sentences: real pictures reach the ceiling, pictures of other sentences the floor."""

import pytest
import torch

from lightning_gen.data.shapes import Shapes, captions
from lightning_gen.errors import UserError
from lightning_gen.evaluation.captions import caption_metrics
from lightning_gen.evaluation.collection import read_block
from lightning_gen.evaluation.retrieval import retrieval_metrics
from lightning_gen.evaluation.sentences import attribute_metrics, diversity, fitted_judge
from lightning_gen.metrics.judge import AttributeJudge

COUNT = 128


def _judge(spec, words):
    return AttributeJudge(spec, words, width=8, batches=150)


@pytest.fixture(scope="module")
def data():
    return Shapes(16, images=200, held_out=["red star", "light"])


@pytest.fixture(scope="module")
def judge(data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield fitted_judge(_judge, data)


def test_real_pictures_reach_the_ceiling_and_those_of_others_the_floor(data, judge):
    def real(block):
        return read_block(data, "val", block)["image"]

    def swapped(block):
        return torch.cat([real(b) for b in range(2)]).roll(1, 0)[block * 64 : block * 64 + 64]

    found = attribute_metrics(judge, real, data, "val", COUNT)
    for name, row in found.items():
        assert row["value"] == pytest.approx(row["ceiling"], abs=1e-4), name
        assert row["identity"]["judge"] == judge.label[-8:]
    background = next(row for name, row in found.items() if "background" in name)
    assert background["value"] > 0.95 > 0.7 > background["floor"]
    hue = next(row for name, row in found.items() if "hue" in name)
    assert hue["value"] > 2 * hue["floor"]
    new = next(row for name, row in found.items() if "says_new" in name)
    assert 0 < new["identity"]["samples"] < COUNT
    other = attribute_metrics(judge, swapped, data, "val", COUNT)
    for name in (name for name in found if "new" not in name):
        assert other[name]["value"] == pytest.approx(found[name]["floor"], abs=0.12), name


class _Painter:
    """Draws other pictures of the captions of a split, or always the same one."""

    def __init__(self, data, lively):
        self.data, self.lively, self.device = data, lively, torch.device("cpu")

    def sample(self, n, condition, temperature, generator):
        rows = next(self.data.batches("val", 1000))
        place = torch.tensor([rows["text"].index(text) for text in condition["text"]])
        words = self.data.described_in(rows)[place]
        seed = int(torch.randint(1 << 30, (), generator=generator)) if self.lively else 0
        pictures, texts = self.data.redraw(words, seed), condition["text"]
        return pictures if self.lively else pictures[[texts.index(text) for text in texts]]


def test_variety_is_that_of_drawn_pictures_or_none(data, judge):
    found = [next(iter(diversity(judge, _Painter(data, lively), data, "val").values()))["value"] for lively in (1, 0)]
    assert found[0] == pytest.approx(1.0, abs=0.25)
    assert found[1] == pytest.approx(0.0, abs=1e-6)


def test_redrawn_pictures_have_the_words_they_were_drawn_from_and_held_out_ones_are_not_trained_on(data):
    rows = next(data.batches("test", 500))
    assert captions(rows["label"], rows["attributes"]) == rows["text"]
    train = list(data.captions("train"))
    assert len(train) < 200
    assert not data.left_out(train).any()
    assert data.left_out(list(data.captions("val"))).any()
    assert "on a light background" in "".join(data.captions("test"))
    with pytest.raises(UserError, match=r"data\.held_out has 'purple star'"):
        Shapes(16, held_out=["purple star"])


def test_r_precision_finds_what_belongs_together_and_swapped_pictures_do_not(data):
    texts = [text for b in range(2) for text in read_block(data, "val", b)["text"]]
    known = list(dict.fromkeys(texts))
    codes = torch.nn.functional.normalize(
        torch.randn(len(known), 32, generator=torch.Generator().manual_seed(0)), dim=1
    )

    def of_texts(some):
        return codes[[known.index(text) for text in some]]

    table = {p.numpy().tobytes(): t for b in range(2) for p, t in _pairs(data, b)}

    def of_pictures(image):
        return of_texts([table[p.numpy().tobytes()] for p in image])

    (found,) = retrieval_metrics(of_pictures, of_texts, "x", None, data, "val", COUNT).values()
    assert found["value"] == 1.0
    assert found["floor"] < 0.1
    assert found["identity"]["captions"] == 100


def _pairs(data, block):
    rows = read_block(data, "val", block)
    return zip(rows["image"], rows["text"], strict=True)


def test_nothing_is_measured_that_is_not_asked_for(data):
    assert caption_metrics(None, None, data, "val", 64, 0, lambda: None, None, None) == {}
