"""Chorales: the bars of a piece that is known by heart, an upbeat, what is left out."""

import sys

import pytest
import torch

from lightning_gen.errors import UserError

pytest.importorskip("music21")

from lightning_gen.data.chorales import Chorales
from lightning_gen.music.chorales import chorale_paths, read_chorale
from lightning_gen.music.notation import CHORDS, HOLD, LOWEST


def test_a_chorale_has_its_melody_and_chords_after_its_upbeat():
    [path] = [path for path in chorale_paths() if path.stem == "bwv269"]  # "Aus meines Herzens Grunde" is in 3/4
    with pytest.raises(Exception, match="meter 3/4"):
        read_chorale(path)
    [path] = [path for path in chorale_paths() if path.stem == "bwv66.6"]  # in F sharp minor, an upbeat of a quarter
    tune = read_chorale(path)
    first = tune.bars[0].tolist()  # A, A in quarters after C sharp, B of the upbeat, then G sharp, F sharp, E
    assert [LOWEST + symbol for symbol in first if symbol < HOLD][:2] == [69, 71]
    assert CHORDS[int(tune.chords[0])] in ("Gbm", "A")
    assert tune.previous.shape == tune.bars.shape
    assert (tune.bars < 38).all()


def test_the_set_is_split_by_piece_and_needs_no_file(capsys):
    data = Chorales(pieces=10)
    sizes = {split: data.size(split) for split in ("train", "val", "test")}
    assert sizes["train"] % 12 == 0
    assert min(sizes.values()) > 0
    batch = next(data.batches("val", 4))
    assert batch["image"].shape == (4, 1, 1, 16)
    assert batch["image"].dtype == torch.uint8
    assert "usable tunes of" in capsys.readouterr().err


def test_without_music21_it_is_refused_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(UserError, match="needs music21, which is not installed"):
        Chorales()
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"data.pieces is 3: want 10 to 410"):
        Chorales(pieces=3)
