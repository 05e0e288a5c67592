"""Completion and lossless compression from the command line, on an untrained model: none of it depends on training."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.cli import main
from lightning_gen.distributions.likelihoods import Categorical
from lightning_gen.fit import main as fit
from lightning_gen.images import ImageSpec
from lightning_gen.loading import load_data, load_module
from lightning_gen.models.autoregressive import Autoregressive
from lightning_gen.nets.condition import Label
from lightning_gen.nets.pixelcnn import GatedPixelCNN
from lightning_gen.tasks.compress import pack, unpack


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        arguments = ["-c", "configs/autoregressive/gated_pixelcnn.yaml", "--run.root", str(root), "--run.images", "64"]
        small = ["--run.name", str(seed), "--seed_everything", str(seed), "--evaluation.samples", "0"]
        small += ["--model.init_args.net.init_args.width", "8", "--model.init_args.net.init_args.layers", "2"]
        fit([*arguments, *small, "--trainer.accelerator", "cpu"])
    return root


@pytest.mark.parametrize(("missing", "kind"), [("bottom", "exact"), ("centre", "approximate")])
def test_complete_draws_a_picture_and_says_what_it_is(missing, kind, runs, tmp_path, capsys):
    out = tmp_path / "x.png"
    assert main(["complete", str(runs / "0"), "--missing", missing, "--n", "2", "--draws", "3", "--out", str(out)]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"3 completions, {kind}")
    assert Image.open(out).size == (5 * 66 + 2, 2 * 66 + 2)


def test_compression_is_lossless_and_near_the_likelihood(runs, tmp_path, capsys):
    file, out = tmp_path / "x.lg", tmp_path / "x.npy"
    assert main(["compress", str(runs / "0"), "--out", str(file)]) == 0
    assert main(["decompress", str(runs / "0"), str(file), "--out", str(out)]) == 0
    data = load_data(runs / "0" / "config.yaml")
    image = torch.cat([batch["image"] for batch in data.batches("test", 512)])
    assert np.array_equal(np.load(out, allow_pickle=False), image.numpy())
    nats = -load_module(runs / "0" / "checkpoints" / "last.ckpt").log_prob(image).sum().item()
    assert 8 * file.stat().st_size * np.log(2) / nats == pytest.approx(1.0, abs=0.005)


def test_labels_are_coded_beside_the_images():
    torch.manual_seed(0)
    net = partial(GatedPixelCNN, width=6, layers=2)
    spec = ImageSpec(3, 3, 4, 5, classes=3)
    model = Autoregressive(spec, net, torch.optim.Adam, Categorical, Label).double().eval()
    batch = {"image": torch.randint(5, (70, 3, 3, 4)).to(torch.uint8), "label": torch.randint(3, (70,))}
    content, nats = pack(model, batch)
    assert torch.equal(unpack(model, content), batch["image"])
    assert 0 < len(content) - nats / np.log(2) / 8 < 16 + 8  # a header of 16 bytes, and the end of the last word


def test_wrong_models_and_damaged_files_are_one_line(runs, tmp_path, capsys):
    file, out = tmp_path / "x.lg", tmp_path / "x.npy"
    assert main(["compress", str(runs / "0"), "--out", str(file)]) == 0
    content = file.read_bytes()
    flipped = content[:100] + bytes([content[100] ^ 1]) + content[101:]
    cases = [
        ("1", content, "file was written with model"),
        ("0", flipped, "file is damaged"),
        ("0", content[:-40], "file is damaged"),
        ("0", content[:9], "file is damaged"),
        ("0", b"PNG", "file is not one"),
    ]
    for run, wrong, words in cases:
        file.write_bytes(wrong)
        capsys.readouterr()
        assert main(["decompress", str(runs / run), str(file), "--out", str(out)]) == 2
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1
        assert words in error[0]
    assert not out.exists()


def test_a_model_without_exact_probabilities_is_refused(tmp_path, capsys):
    arguments = ["-c", "configs/vae/vae.yaml", "--run.root", str(tmp_path), "--run.images", "64", "--run.name", "vae"]
    fit([*arguments, "--evaluation.samples", "0", "--trainer.accelerator", "cpu"])
    assert main(["compress", str(tmp_path / "vae"), "--out", str(tmp_path / "x")]) == 2
    assert "VAE of run" in capsys.readouterr().err
    assert main(["complete", str(tmp_path / "vae")]) == 2
    assert "cannot complete" in capsys.readouterr().err
