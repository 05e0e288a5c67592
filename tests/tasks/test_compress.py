"""Completion and lossless compression from the command line, on an untrained model: none of it depends on training."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_data, load_module
from lightning_gen.distributions.likelihoods import Categorical
from lightning_gen.distributions.posteriors import GaussianPosterior
from lightning_gen.images import ImageSpec
from lightning_gen.models.autoregressive import Autoregressive
from lightning_gen.models.vae import VAE
from lightning_gen.nets.autoregressive.gated_pixelcnn import GatedPixelCNN
from lightning_gen.nets.condition import Label
from lightning_gen.nets.vae.mlp import MLPDecoder, MLPEncoder
from lightning_gen.tasks.common.archive import _read_varint, _varint, pack, unpack
from lightning_gen.tasks.common.coders import BitsBackCoder, coder_of


@pytest.fixture(scope="module")
def runs(fit):
    small = ["--model.init_args.net.init_args.width", "8", "--model.init_args.net.init_args.layers", "2"]
    return [fit("autoregressive/gated_pixelcnn", *small, "--seed_everything", str(seed)) for seed in (0, 1)]


@pytest.mark.parametrize(("missing", "kind"), [("bottom", "exact"), ("centre", "approximate")])
def test_complete_draws_a_picture_and_says_what_it_is(missing, kind, runs, tmp_path, capsys):
    out = tmp_path / "x.png"
    assert main(["complete", str(runs[0]), "--missing", missing, "--n", "2", "--draws", "3", "--out", str(out)]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"3 completions, {kind}")
    assert Image.open(out).size == (5 * 66 + 2, 2 * 66 + 2)


def test_compression_is_lossless_and_near_the_likelihood(runs, tmp_path, capsys):
    file, out = tmp_path / "x.lg", tmp_path / "x.npy"
    assert main(["compress", str(runs[0]), "--out", str(file)]) == 0
    assert main(["decompress", str(runs[0]), str(file), "--out", str(out)]) == 0
    data = load_data(runs[0] / "config.yaml")
    image = torch.cat([batch["image"] for batch in data.batches("test", 512)])
    assert np.array_equal(np.load(out, allow_pickle=False), image.numpy())
    nats = -load_module(runs[0] / "checkpoints" / "last.ckpt").log_prob(image).sum().item()
    assert 8 * file.stat().st_size * np.log(2) / nats == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize("command", ["complete", "compress", "evaluate"])
def test_data_of_other_images_is_refused_in_one_line(command, runs, tmp_path, capsys):
    out = [] if command == "evaluate" else ["--out", str(tmp_path / "x.png")]
    assert main([command, str(runs[0]), "--data", "configs/data/shapes16.yaml", *out]) == 2
    line = capsys.readouterr().err
    assert "data shapes is 3x16x16, 256 levels: Autoregressive of run" in line
    assert "wants 1x8x8, 17 levels" in line
    assert line.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_labels_are_coded_beside_the_images():
    torch.manual_seed(0)
    net = partial(GatedPixelCNN, width=6, layers=2)
    spec = ImageSpec(3, 3, 4, 5, classes=3)
    model = Autoregressive(spec, net, torch.optim.Adam, Categorical, Label).double().eval()
    batch = {"image": torch.randint(5, (70, 3, 3, 4)).to(torch.uint8), "label": torch.randint(3, (70,))}
    coder = coder_of(model, "x")
    content, nats = pack(model, coder, batch)
    assert torch.equal(unpack(model, coder, content), batch["image"])
    assert 0 < len(content) - nats / np.log(2) / 8 < 16 + 8  # a header of 16 bytes, and the end of the last word


def _counted(content, count):
    """A file whose header names another number of images."""
    at = 7
    for _ in range(4):
        _, at = _read_varint(content, at)
    return content[:at] + _varint(count) + content[_read_varint(content, at)[1] :]


def test_wrong_models_and_damaged_files_are_one_line(runs, tmp_path, capsys):
    file, out = tmp_path / "x.lg", tmp_path / "x.npy"
    assert main(["compress", str(runs[0]), "--out", str(file)]) == 0
    content = file.read_bytes()
    flipped = content[:100] + bytes([content[100] ^ 1]) + content[101:]
    cases = [
        (1, content, "file was written with model"),
        (0, flipped, "file is damaged"),
        (0, content[:-40], "file is damaged"),
        (0, content[:9], "file is damaged"),
        (0, b"PNG", "file is not one"),
        (0, _counted(content, 2**34), "file is damaged"),  # would be decoded without end
        (0, _counted(content, 9_000_000), "file is damaged"),
    ]
    for run, wrong, words in cases:
        file.write_bytes(wrong)
        capsys.readouterr()
        assert main(["decompress", str(runs[run]), str(file), "--out", str(out)]) == 2
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1
        assert words in error[0]
    assert not out.exists()


@pytest.mark.parametrize("spec", [ImageSpec(1, 8, 8, 17), ImageSpec(3, 4, 4, 5)], ids=str)
def test_bits_back_costs_the_negative_elbo(spec):
    """Lossless, and within the borrowed words of what the codes that were drawn cost, which is the ELBO on average."""
    torch.manual_seed(0)
    net = {"encoder": partial(MLPEncoder, features=16), "decoder": partial(MLPDecoder, width=16)}
    model = VAE(spec, **net, posterior=GaussianPosterior, optimizer=torch.optim.Adam, latent_dim=6).double().eval()
    image = torch.randint(spec.levels, (300, *spec.shape)).to(torch.uint8)
    coder = coder_of(model, "x")
    assert isinstance(coder, BitsBackCoder)
    content, nats = pack(model, coder, {"image": image})
    assert torch.equal(unpack(model, coder, content), image)
    borrowed = 4 * len(coder.borrowed)
    assert 0 < len(content) - nats / np.log(2) / 8 < 16 + borrowed + 0.01 * len(content)
    with torch.no_grad():
        draws = -torch.stack([model.log_prob(image).sum() for _ in range(16)])
    assert abs(nats - draws.mean().item()) < 4 * draws.std().item()


def test_bits_back_refuses_damaged_words_and_other_codes(fit, tmp_path, capsys):
    vae, planar = fit("vae/vae"), fit("vae/vae_planar")
    file, out = tmp_path / "x.lg", tmp_path / "x.npy"
    assert main(["compress", str(vae), "--out", str(file)]) == 0
    assert "negative ELBO" in capsys.readouterr().out
    assert main(["decompress", str(vae), str(file), "--out", str(out)]) == 0
    assert len(np.load(out, allow_pickle=False)) == 300
    out.unlink()
    content = file.read_bytes()
    for wrong in (content[:-8], content[:100] + bytes([content[100] ^ 1]) + content[101:]):
        file.write_bytes(wrong)
        assert main(["decompress", str(vae), str(file), "--out", str(out)]) == 2
        assert "file is damaged" in capsys.readouterr().err
    assert main(["compress", str(planar), "--out", str(tmp_path / "y")]) == 2
    assert "bits back wants GaussianPosterior" in capsys.readouterr().err
    assert not out.exists()
    assert not (tmp_path / "y").exists()
    assert main(["complete", str(vae)]) == 2
    assert "cannot complete" in capsys.readouterr().err


def test_a_model_without_probabilities_is_refused(gan, tmp_path, capsys):
    assert main(["compress", str(gan), "--out", str(tmp_path / "x")]) == 2
    assert "GAN of run" in capsys.readouterr().err
