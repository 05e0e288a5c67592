"""Pix2Pix: networks of every size, pairs that are never changed alone, a map that becomes its one true picture."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_run
from lightning_gen.data.augment import Chain, HorizontalFlip, RandomShift, RandomZoom
from lightning_gen.data.pairs import SideBySide
from lightning_gen.data.shape_maps import ShapeMaps
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.unet import PatchDiscriminator, UNet
from lightning_gen.training.fit import build


@pytest.mark.parametrize("size", [(16, 16), (32, 24), (33, 47)])
def test_a_unet_takes_every_size_and_each_pixel_of_the_source_matters(size):
    spec = ImageSpec(3, *size, source=ImageSpec(2, *size))
    net = UNet(spec, width=4).eval()
    source = torch.randn(2, 2, *size, requires_grad=True)
    out = net(source)
    assert out.shape == (2, 3, *size)
    (gradient,) = torch.autograd.grad(out.square().sum(), source)
    assert (gradient.abs().amax(1) > 0).all()
    assert torch.equal(net(source), out)  # no noise in use


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_patches_have_the_size_of_the_paper(layers, patch):
    spec = ImageSpec(1, 128, 128, source=ImageSpec(1, 128, 128))
    net = PatchDiscriminator(spec, width=2, layers=layers).eval()
    net.layers = torch.nn.Sequential(*(m for m in net.layers if not isinstance(m, torch.nn.InstanceNorm2d)))
    x = torch.zeros(1, 1, 128, 128, requires_grad=True)
    logits = net(x, torch.zeros_like(x)).logits
    (gradient,) = torch.autograd.grad(logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], x)
    rows = gradient[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == patch


def test_a_pair_is_never_changed_alone(tmp_path):
    """Both halves are the same picture: whatever happens to one in training has happened to the other."""
    for i in range(6):
        half = np.random.default_rng(i).integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(np.concatenate([half, half], 1)).save(tmp_path / f"{i}.png")
    augment = Chain([HorizontalFlip(), RandomShift(3), RandomZoom(3)])
    data = SideBySide(str(tmp_path), size=16, batch_size=4, augment=augment)
    batch = next(iter(data.train_dataloader()))
    assert torch.equal(batch["image"], batch["source"])
    assert not any(torch.equal(image, other) for image in batch["image"] for other in data.splits["train"]["image"])


def test_halves_are_told_apart_and_odd_widths_refused(tmp_path):
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, 8:] = 200
    for i in range(3):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    for source, value in (("left", 200), ("right", 0)):
        data = SideBySide(str(tmp_path), size=8, source=source)
        assert int(data.splits["train"]["image"].max()) == value
    Image.fromarray(picture[:, :15]).save(tmp_path / "odd.png")
    with pytest.raises(UserError, match=r"odd.png is 15 pixels wide: want two halves"):
        assert SideBySide(str(tmp_path), size=8).splits
    with pytest.raises(UserError, match="which does not exist"):
        SideBySide(str(tmp_path / "nowhere"))


def test_maps_say_where_their_shape_is():
    rows = ShapeMaps(48, 64).splits["train"]
    inside = rows["source"] > 0
    assert torch.equal(rows["source"].flatten(1).amax(1).long(), rows["label"] + 1)
    for kind in range(3):
        which = (rows["label"] == kind) & inside.flatten(1).any(1)
        colours = [rows["image"][i][:, inside[i, 0]].float().median(1).values for i in torch.where(which)[0]]
        assert torch.stack(colours).std(0).max() < 4  # a class has one colour


def test_a_run_learns_its_maps_and_tells_how_well(tmp_path):
    """A quarter of a minute of training: nearer to the true pictures than the source or the mean picture is."""
    words = ["fit", "-c", "configs/translation/pix2pix.yaml", "--run.root", str(tmp_path), "--run.images", "3200"]
    words += ["--run.evaluate_every", "0", "--run.grid_every", "0", "--run.health_every", "800"]
    assert (
        main([*words, "--trainer.accelerator", "cpu", "--evaluation.samples", "64", "--data.init_args.size", "16"]) == 0
    )
    module, data = load_run(tmp_path / "pix2pix")
    batch = next(data.batches("test", 64))
    with torch.no_grad():
        output = module.translate(batch).float()
    target = batch["image"].float()
    mean = data.splits["train"]["image"].float().mean(0)
    assert (output - target).abs().mean() < 0.8 * (mean - target).abs().mean()
    text = (tmp_path / "pix2pix" / "evaluations.jsonl").read_text()
    assert all(f'"{name}"' in text for name in ("psnr", "ssim", "l1"))
    curves = (tmp_path / "pix2pix" / "metrics.jsonl").read_text()
    assert all(name in curves for name in ("train/g/l1", "train/g/adversarial", "health/auroc"))


def test_the_overlay_of_facades_builds_on_the_real_pairs():
    root = Path(os.environ.get("LIGHTNING_GEN_SHARED", "../shared")) / "data" / "facades"
    if not root.is_dir():
        pytest.skip(f"no {root}: real pairs are not here")
    configs = ["translation/pix2pix", "data/facades", "pictures/pix2pix_facades"]
    words = [word for config in configs for word in ("-c", f"configs/{config}.yaml")]
    cli = build(
        [*words, "--data.init_args.root", str(root), "--data.init_args.size", "32", "--trainer.accelerator", "cpu"]
    )
    assert cli.model.spec.source.shape == (12, 32, 32)
    assert [cli.datamodule.size(split) for split in ("train", "val", "test")] == [360, 40, 59]
