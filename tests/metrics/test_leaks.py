"""A probe for augmentations that leak: between real and augmented images it places what is generated."""

import torch

from lightning_gen.config.cli import main
from lightning_gen.data.digits import Digits
from lightning_gen.images import from_signed, to_signed
from lightning_gen.metrics.leaks import leak


def test_the_probe_places_clean_images_at_0_and_augmented_ones_at_1():
    data = Digits()
    real = next(data.batches("train", 1000))["image"]

    def turned(x):
        return x.rot90(1, (2, 3))

    other = next(data.batches("test", 256))["image"]
    leaked = from_signed(turned(to_signed(other, 17)), 17)
    clean, dirty = (leak(real, made, turned, data.spec, 60) for made in (other, leaked))
    assert clean.augmented - clean.real > 0.6
    assert abs(clean.share) < 0.25
    assert dirty.share > 0.75
    half = leak(real, torch.cat([other, leaked]), turned, data.spec, 60)
    assert 0.3 < half.share < 0.7


def test_a_run_without_augmentation_is_one_line(tmp_path, capsys):
    words = ["fit", "-c", "configs/gan/dcgan.yaml", "--run.root", str(tmp_path), "--run.name", "r"]
    small = [f"--model.init_args.{net}.init_args.width=4" for net in ("generator", "discriminator")]
    assert (
        main([*words, *small, "--run.images", "64", "--trainer.accelerator", "cpu", "--evaluation.samples", "0"]) == 0
    )
    assert main(["leaks", str(tmp_path / "r")]) == 2
    assert "augments nothing that its discriminator sees" in capsys.readouterr().err
