"""Probes for augmentations that leak: what they say of clean, leaked and poor samples."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

from lightning_gen.config.cli import main
from lightning_gen.data.digits import Digits
from lightning_gen.images import from_signed, to_signed
from lightning_gen.metrics.leaks import leak


def turned(x):
    """Half of the images by a quarter to the left or the right."""
    side = torch.randint(4, (len(x),))[:, None, None, None]
    return torch.where(side == 0, x.rot90(1, (2, 3)), torch.where(side == 1, x.rot90(-1, (2, 3)), x))


def _leaked(image):
    return from_signed(turned(to_signed(image, 17)), 17)


def _poor(image):
    """Smears: the mean of neighbours, of half the contrast."""
    return (0.5 * avg_pool2d(image.float(), 5, 1, 2) + 3).round().to(torch.uint8)


@pytest.mark.parametrize(
    ("made", "verdict"),
    [(lambda x: x, "no leak"), (_leaked, "leaks"), (_poor, "cannot tell: samples are too far")],
)
def test_clean_samples_leaked_ones_and_poor_ones(made, verdict):
    data = Digits()
    real = next(data.batches("train", 1200))["image"]
    torch.manual_seed(0)
    generated = made(torch.cat([next(data.batches(split, 400))["image"] for split in ("val", "test")]))
    found = leak(real, generated, turned, data.spec, 40)
    assert found.verdict.startswith(verdict), found


def test_too_little_to_go_by_is_said():
    data = Digits()
    image = next(data.batches("train", 200))["image"]
    assert leak(image, image, lambda x: x, data.spec, 5).verdict.startswith("cannot tell: probes hardly tell")


def test_a_run_without_augmentation_is_one_line(tmp_path, capsys):
    words = ["fit", "-c", "configs/gan/dcgan.yaml", "--run.root", str(tmp_path), "--run.name", "r"]
    small = [f"--model.init_args.{net}.init_args.width=4" for net in ("generator", "discriminator")]
    assert (
        main([*words, *small, "--run.images", "64", "--trainer.accelerator", "cpu", "--evaluation.samples", "0"]) == 0
    )
    assert main(["leaks", str(tmp_path / "r")]) == 2
    assert "augments nothing that its discriminator sees" in capsys.readouterr().err
