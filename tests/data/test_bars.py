"""Bars as a data set: splits by tune, keys after the split, a grammar whose probabilities are known."""

import itertools
import math
import zipfile

import pytest
import torch

pytest.importorskip("mido")

from lightning_gen.data import tunes
from lightning_gen.data.bars import ToyMelodies
from lightning_gen.data.tunes import MidiFolder
from lightning_gen.errors import UserError
from lightning_gen.music.notation import HOLD, REST, symbols_of
from tests.music.tunes import midi, triad, tune


def folder(tmp_path, tunes=5):
    for i in range(tunes):
        (tmp_path / "tunes" / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tunes" / f"{i % 2}" / f"{i}.mid").write_bytes(tune(2 + i, transpose=i))
    return tmp_path / "tunes"


def test_splits_are_by_tune_and_only_training_has_all_keys(tmp_path):
    data = MidiFolder(str(folder(tmp_path)), share=0.2)
    sizes = {split: data.size(split) for split in ("train", "val", "test")}
    assert sizes["train"] % 12 == 0
    assert sizes["train"] // 12 + sizes["val"] + sizes["test"] == sum(range(2, 7))
    plain = MidiFolder(str(folder(tmp_path)), share=0.2, all_keys=False)
    assert plain.size("train") == sizes["train"] // 12
    batch = next(data.batches("test", 8))
    assert batch["image"].shape[1:] == batch["previous"].shape[1:] == (1, 1, 16)
    data.spec.check(batch["image"])
    assert data.class_names[int(batch["label"][0])] in data.class_names


def test_a_zip_file_is_the_same_set_and_what_is_left_out_is_said(tmp_path, capsys):
    root = folder(tmp_path)
    (root / "waltz.mid").write_bytes(midi([(60, 0, 4)], triad(48, 0, 4), meter=(3, 4)))
    (root / "broken.MIDI").write_bytes(b"MThd")
    with zipfile.ZipFile(tmp_path / "tunes.zip", "w") as archive:
        for path in root.rglob("*.*"):
            archive.write(path, path.relative_to(root).as_posix())
    one, other = MidiFolder(str(root)), MidiFolder(str(tmp_path / "tunes.zip"))
    assert one.fingerprint == other.fingerprint
    assert one.name == other.name == "tunes"
    said = capsys.readouterr().err
    assert "5 usable tunes of 20 bars; 2 files left out" in said
    assert "1 meter 3/4" in said


def test_files_are_parsed_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "cache"))
    root = folder(tmp_path)
    (root / "waltz.mid").write_bytes(midi([(60, 0, 4)], triad(48, 0, 4), meter=(3, 4)))
    first = MidiFolder(str(root)).fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(tunes, "read_tune", lambda content: pytest.fail("parsed again"))
        patch.setattr(tunes, "_SAID", said := set())
        assert MidiFolder(str(root)).fingerprint == first
        assert "5 usable tunes of 20 bars; 1 files left out (1 meter 3/4)" in said.pop()
    (root / "more.mid").write_bytes(tune(9))
    assert MidiFolder(str(root)).fingerprint != first


@pytest.mark.parametrize("tunes", [0, 2])
def test_too_few_tunes_are_one_plain_line(tunes, tmp_path):
    (tmp_path / "tunes").mkdir()
    folder(tmp_path, tunes)
    with pytest.raises(UserError, match=rf"with {tunes} usable tunes of .* bars: want 3 tunes in 4/4 or more") as error:
        MidiFolder(str(tmp_path / "tunes")).size("train")
    assert "\n" not in str(error.value)


def test_a_missing_or_false_root_is_one_plain_line(tmp_path):
    with pytest.raises(UserError, match="does not exist: want a folder or zip file of MIDI files"):
        MidiFolder(str(tmp_path / "none"))
    (tmp_path / "x.zip").write_text("no")
    with pytest.raises(UserError, match="not a zip file; want a folder or zip file of MIDI files"):
        MidiFolder(str(tmp_path / "x.zip")).size("train")


def test_the_grammar_gives_every_bar_its_probability():
    data = ToyMelodies(200)
    batch = next(data.batches("train", 1600))
    nats = data.log_prob(batch["image"], batch["label"], batch["previous"])
    assert nats.isfinite().all()
    # the share of bars of only rests, from the grammar itself
    silent, rest = (batch["image"] == REST).flatten(1).all(1), symbols_of([], 1)[:, None, None]
    other = torch.full_like(rest, HOLD)
    wanted = 0.75 * 0.1**8
    assert data.log_prob(rest, torch.tensor([0]), other).exp().item() == pytest.approx(wanted)
    assert silent.float().mean() < 0.05
    assert data.log_prob(rest, torch.tensor([0]), rest).exp().item() == pytest.approx(0.25 + wanted)
    assert data.log_prob(other, torch.tensor([0]), rest).item() == -math.inf


def test_the_first_eighth_sums_to_one():
    data = ToyMelodies(10)
    rows = [torch.tensor([[first, HOLD if first != REST else REST]]) for first in itertools.chain(range(36), [REST])]
    tail = torch.full((1, 14), REST)
    bars = torch.cat([torch.cat([row, tail], 1) for row in rows]).to(torch.uint8)[:, None, None]
    before = torch.full_like(bars, HOLD)
    total = data.log_prob(bars, torch.zeros(len(bars), dtype=torch.long), before).exp()
    after_note, after_rest = 0.05 * 0.1**6, 0.1**7
    assert (total[:36] / after_note).sum() + total[36] / after_rest == pytest.approx(0.75 * 1.0)
