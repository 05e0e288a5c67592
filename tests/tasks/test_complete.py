"""Completions: known pixels stay, on sets with captions too, and a model that cannot complete is refused."""

import pytest
import torch
from PIL import Image

from lightning_gen.batches import repeat_rows
from lightning_gen.config.cli import main
from lightning_gen.images import ImageSpec
from lightning_gen.tasks.complete import MASKS

SHAPES = ["-c", "configs/data/shapes8.yaml"]


def test_rows_are_repeated_texts_too():
    batch = {"image": torch.tensor([[1], [2]]), "text": ["a", "b"]}
    twice = repeat_rows(batch, 2)
    assert twice["image"].tolist() == [[1], [1], [2], [2]]
    assert twice["text"] == ["a", "a", "b", "b"]


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_leaves_something_known_and_something_missing(name):
    known = MASKS[name](ImageSpec(1, 8, 6), torch.Generator().manual_seed(0))
    assert known.shape == (8, 6)
    assert known.any()
    assert not known.all()


def test_a_set_with_captions_is_completed(fit, tmp_path):
    """Its batches hold texts beside tensors."""
    words = ["-c", "configs/data/shapes16.yaml", "--data.init_args.images", "256"]
    small = ["--model.init_args.net.init_args.width=6", "--model.init_args.net.init_args.layers=2"]
    run, out = fit("autoregressive/gated_pixelcnn_label", *words, *small), tmp_path / "out.png"
    assert main(["complete", str(run), "--n", "2", "--draws", "3", "--missing", "bottom", "--out", str(out)]) == 0
    assert Image.open(out).size == (5 * 66 + 2, 2 * 66 + 2)


def test_a_model_that_cannot_complete_is_refused(vae, capsys):
    assert main(["complete", str(vae)]) == 2
    assert "VAE cannot complete: want an autoregressive model or a flow" in capsys.readouterr().err
