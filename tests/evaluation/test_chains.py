"""Chains of bars: what is known of real bars comes out, a model that does not listen is told from one that does."""

import pytest
import torch

from lightning_gen.data.bars import ToyMelodies
from lightning_gen.evaluation.chains import LENGTH, chain_count, chain_metrics
from lightning_gen.music.notation import LOWEST, STEPS


@pytest.fixture(scope="module")
def data():
    made = ToyMelodies(melodies=50)
    made.prepare_data()
    made.setup("fit")
    return made


def values(metrics):
    return {name: row["value"] for name, row in metrics.items()}


def on_the_root(chords, previous, generator):
    """Sixteen times the root of each chord."""
    return ((chords % 12 - LOWEST) % 12)[:, :, None].expand(-1, -1, STEPS).to(torch.uint8)


def again(chords, previous, generator):
    return previous[:, 0].expand(-1, LENGTH, -1)


def test_real_bars_have_the_numbers_of_their_grammar(data):
    found = values(chain_metrics(None, data, "val", 512))
    assert found["repeated_bars"] == pytest.approx(0.25, abs=0.05)
    fresh = 6 * 3 / (6 * 3 + 9)  # 3 of 12 pitch classes are six times as likely; a bar that repeats had another chord
    assert found["chord_tones"] == pytest.approx(0.75 * fresh + 0.25 * 0.25, abs=0.05)
    assert found["chord_tones_moved"] < found["chord_tones"]
    assert min(found[f"chain_overlap_{place}"] for place in (1, 4, 8)) > 0.75


def test_what_follows_its_chord_keeps_its_share_and_what_copies_is_seen(data):
    listens, copies = (
        values(chain_metrics(on_the_root, data, "val", 512)),
        values(chain_metrics(again, data, "train", 400)),
    )
    assert (listens["chord_tones"], listens["chord_tones_moved"], listens["copied_bars"]) == (1, 1, 0)
    assert copies["repeated_bars"] == 1
    assert copies["copied_bars"] > 0.8  # the bars of rests before the first one alone do not occur
    assert listens["chain_overlap_8"] < 0.6


def test_the_identity_says_what_was_drawn(data):
    metrics = chain_metrics(on_the_root, data, "val", 100, seed=3)
    assert {row["identity"]["chains"] for row in metrics.values()} == {12} == {chain_count(data, "val", 100)}
    assert {row["identity"]["seed"] for row in metrics.values()} == {3}
    assert chain_metrics(on_the_root, data, "val", 7) == {}
