"""The door from Python gives what the commands give, and shows itself in a notebook."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import lightning_gen as lg
from lightning_gen.config.cli import main
from lightning_gen.errors import UserError

RUNS = {
    "vae": ["-c", "configs/vae/vae.yaml"],
    "cgan": ["-c", "configs/gan/cgan.yaml"],
    "pixelcnn": ["-c", "configs/autoregressive/gated_pixelcnn.yaml", "--model.init_args.net.init_args.layers=2"],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    few = ["--run.images", "128", "--trainer.accelerator", "cpu", "--evaluation.samples", "64"]
    for name, words in RUNS.items():
        assert main(["fit", *words, "--run.root", str(root), "--run.name", name, *few]) == 0
    return root


def test_importing_the_package_is_fast():
    heavy = "import sys, lightning_gen; print({'torch', 'lightning', 'numpy', 'jsonargparse'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout == "set()\n"
    assert {"load", "load_runs", "Run", "Images"} <= set(dir(lg))
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        lg.nope  # noqa: B018


def test_samples_are_those_of_the_command(root, tmp_path):
    for name, words, options in (("vae", [], {}), ("cgan", ["--label", "3", "5"], {"label": [3, 5]})):
        out = tmp_path / f"{name}.png"
        assert main(["sample", str(root / name), "--n", "70", "--seed", "4", *words, "--out", str(out)]) == 0
        made = lg.load(root / name).sample(70, seed=4, **options)
        assert np.array_equal(np.asarray(Image.open(out)), made.grid().numpy())
        assert torch.equal(lg.load(root / name).sample(5, seed=4, **options).tensor, made.tensor[:5])


def test_images_show_themselves(root, tmp_path):
    images = lg.load(root / "vae").sample(10)
    assert (len(images), images.tensor.dtype, tuple(images.tensor.shape)) == (10, torch.uint8, (10, 1, 8, 8))
    shown = Image.open(io.BytesIO(images._repr_png_()))
    assert np.array_equal(np.asarray(shown), images.grid().numpy())
    assert np.array_equal(np.asarray(Image.open(images.save(tmp_path / "x.png"))), images.grid().numpy())
    assert repr(images) == "Images(10 of 1x8x8, 17 levels)"
    assert (len(images[2:5]), len(images[-1]), images[0:0]._repr_png_()) == (3, 1, None)


def test_a_run_says_what_its_folder_says(root):
    run = lg.load(root / "vae", checkpoint="best")
    assert run.config["model"]["init_args"]["latent_dim"] == 16
    assert run.about["model"] == "VAE"
    assert (run.images_seen, run.data.name, run.name) == (128, "digits", "vae")
    assert run.metrics[-1]["images_seen"] == 128
    assert run.evaluations[-1]["bits_per_dim"] > 0
    assert "VAE on digits" in repr(run)
    assert "<td>VAE</td>" in run._repr_html_()


def test_numbers_are_those_of_the_protocol(root):
    run = lg.load(root / "vae")
    found = run.evaluate("val", samples=64)
    assert dict(found) == dict(run.evaluations[-1])  # of the training, at its end, on the same images
    assert found.rows[0]["metric"] == "bits_per_dim"
    assert "digits" in found.rows[0]["what"]
    assert "<table>" in found._repr_html_()
    before = len(run.evaluations)
    run.evaluate("test", record=True, samples=0)
    assert len(run.evaluations) == before + 1
    with pytest.raises(UserError, match=r"evaluation.nope is no argument"):
        run.evaluate(nope=3)


def test_what_a_model_can_do(root):
    vae, pixelcnn, gan = (lg.load(root / name) for name in ("vae", "pixelcnn", "cgan"))
    real = vae.images("test", 12)
    assert torch.equal(vae.reconstruct(real).tensor, vae.reconstruct(n=12).tensor)
    assert torch.equal(vae.decode(vae.encode(real)).tensor, vae.reconstruct(real).tensor)
    assert torch.equal(vae.log_prob(n=12, seed=1), vae.log_prob(real, seed=1))
    assert not torch.equal(vae.log_prob(n=12, seed=1), vae.log_prob(n=12, seed=2))
    known = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    known[..., :4, :] = True
    made = pixelcnn.complete(known, real)
    assert torch.equal(made.tensor[..., :4, :], real.tensor[..., :4, :])
    assert pixelcnn.log_prob(real).shape == (12,)
    for wrong, message in (
        (lambda: gan.reconstruct(), "cannot reconstruct"),
        (lambda: gan.log_prob(), "has no likelihood"),
        (lambda: gan.sample(4, label=10), "label is 10: want 0 to 9"),
        (lambda: vae.sample(4, label=1), "is not conditioned on labels"),
        (lambda: vae.sample(0), "want 1 or more"),
        (lambda: vae.sample(4, temperature=0.0), "want above 0"),
        (lambda: vae.translate(), "does not translate"),
        (lambda: vae.encode(real.tensor.float()), "want torch.uint8"),
        (lambda: lg.load(root / "nope"), "want the folder of a finished run"),
        (lambda: lg.load(root / "vae", checkpoint="first"), "want last or best"),
    ):
        with pytest.raises(UserError, match=message):
            wrong()


def test_all_runs_of_a_folder_are_a_table(root):
    found = lg.load_runs(root)
    assert [run.name for run in found] == sorted(RUNS)
    assert found[0].name == "cgan"
    assert all(f"<td>{name}</td>" in found._repr_html_() for name in RUNS)
    assert len(found[1:]) == 2


def test_an_exported_model_is_opened_the_same_way(root, tmp_path):
    assert main(["export", str(root / "vae"), "--out", str(tmp_path / "shared")]) == 0
    shared, run = lg.load(tmp_path / "shared"), lg.load(root / "vae")
    assert torch.equal(shared.sample(8).tensor, run.sample(8).tensor)
    assert shared.config["model"] == run.config["model"]
