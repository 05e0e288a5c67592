"""Tasks of models with codes: the files and tables they leave, and the numbers in them against closed forms."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import LatentModule
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.inference.importance import fitted_kl, importance_sampled, unit_activity
from lightning_gen.metrics.pairs import psnr
from lightning_gen.tasks.cluster import agreement
from lightning_gen.tasks.common.codes import Codes, codes_of
from lightning_gen.tasks.common.require import require
from lightning_gen.tasks.denoise import NOISES, median
from lightning_gen.tasks.encode import quality
from lightning_gen.tasks.evidence import alarms
from lightning_gen.tasks.latent import between, plane
from lightning_gen.tasks.outliers import CHANGES, scores
from lightning_gen.tasks.reconstruct import beside

SMALL = [
    "--model.init_args.encoder.init_args.width=4",
    "--model.init_args.decoder.init_args.width=4",
    "--model.init_args.latent_dim=3",
]


@pytest.fixture(scope="module")
def run(fit):
    return fit("vae/vae_iaf", *SMALL, "--run.images", "640")


def test_evidence_is_what_evaluate_says(run, capsys):
    assert main(["evidence", str(run), "--weights", "3"]) == 0
    facts = json.loads((run / "evidence.json").read_text())
    capsys.readouterr()
    assert main(["evaluate", str(run), "--weights", "3", "--json"]) == 0
    metric = json.loads(capsys.readouterr().out)["metrics"]["bits_per_dim"]
    assert metric["identity"]["bound"] == "iwae-3"
    assert facts["bits_per_dim"] == pytest.approx(metric["value"], rel=1e-6)
    assert facts["elbo"]["value"] == pytest.approx(-facts["distortion"]["value"] - facts["rate"]["value"])
    assert facts["elbo"]["value"] <= facts["importance_sampled"]["value"]
    assert len(facts["variables"]["activity"]) == 3


def test_numbers_are_shown_where_they_cannot_be_written(vae, tmp_path, capsys):
    """What was computed for an hour is not lost to a folder that cannot be written to."""
    run = shutil.copytree(vae, tmp_path / "run")
    (run / "evaluations.jsonl").unlink(missing_ok=True)
    (run / "evaluations.jsonl").symlink_to(tmp_path / "other")
    (run / "evidence.json").mkdir()
    capsys.readouterr()
    for words, number in ((["evaluate"], "bits_per_dim"), (["evidence", "--weights", "2"], "distortion")):
        assert main([words[0], str(run), *words[1:]]) == 2
        shown = capsys.readouterr()
        assert number in shown.out
        assert shown.err.strip().count("\n") == 0
    assert not (tmp_path / "other").exists()


def test_reconstruct_writes_stripes_of_both(run, capsys):
    assert main(["reconstruct", str(run), "--n", "16"]) == 0
    assert "dB over 300 test images" in capsys.readouterr().out
    with Image.open(run / "samples" / "reconstruct.png") as picture:
        assert picture.size == (8 * 66 + 2, 4 * 66 + 2)
    a, b = torch.zeros(5, 1, 2, 2), torch.ones(5, 1, 2, 2)
    assert beside(a, b, columns=2)[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert beside(a[:1], b[:1], columns=2)[:, 0, 0, 0].tolist() == [0, 1]


def test_denoise_measures_what_it_shows(run):
    assert main(["denoise", str(run), "--strength", "0.1", "0.4", "--images", "50"]) == 0
    facts = json.loads((run / "samples" / "denoise.json").read_text())
    assert [row["strength"] for row in facts["psnr_db"]] == [0.1, 0.4]
    assert facts["psnr_db"][0]["noisy"] > facts["psnr_db"][1]["noisy"]
    assert facts["images"] == 50
    # a deviation of 0.1 of the range, half of it lost where the background is clamped at 0
    assert 20 < facts["psnr_db"][0]["noisy"] < 24


def test_noises_stay_within_the_levels_and_a_median_takes_single_pixels_off():
    spec, generator = ImageSpec(2, 6, 6, 17), torch.Generator().manual_seed(0)
    image = torch.full((400, 2, 6, 6), 8, dtype=torch.uint8)
    for noise in NOISES.values():
        noisy = noise(image, spec, 0.25, generator)
        assert (noisy.dtype, noisy.shape) == (torch.uint8, image.shape)
        assert int(noisy.max()) <= 16
    hit = NOISES["impulse"](image, spec, 0.25, generator) != image
    assert hit.float().mean().item() == pytest.approx(0.25 * 16 / 17, abs=0.01)
    single = image.clone()
    single[:, 1, 3, 3] = 16
    assert torch.equal(median(single), image), "channels are filtered together, or a pixel stays"


def test_psnr_of_a_known_error():
    image = torch.full((1, 1, 4, 4), 10, dtype=torch.uint8)
    assert psnr(image + 1, image, 256) == pytest.approx(20 * math.log10(255))
    assert psnr(image, image, 256) == math.inf


def test_encode_writes_a_row_per_image(run, capsys):
    assert main(["encode", str(run)]) == 0
    rows = list(csv.reader((run / "codes_test.csv").open()))
    assert rows[0] == ["image", "label", "z0", "z1", "z2"]
    assert len(rows) == 301
    module, data = load_run(run)
    codes = codes_of(module, data, "test")
    np.testing.assert_allclose(np.array(rows[1:], float)[:, 2:], codes.z, rtol=1e-5, atol=1e-6)
    assert [int(row[1]) for row in rows[1:]] == codes.label.tolist()


def test_quality_of_codes_that_are_principal_components_is_that_of_principal_components():
    from sklearn.decomposition import PCA

    generator = np.random.default_rng(0)
    label = np.arange(60) % 3
    pixels = generator.normal(size=(60, 8)) + 6 * np.eye(8)[label]
    pca = PCA(2, random_state=0).fit(pixels)
    codes = Codes(pca.transform(pixels), label, pixels)
    found = quality(codes, codes, 5)
    assert found["codes"] == found["PCA"]
    assert found["pixels"][1] == 1.0
    assert found["PCA"][2] > 0.95
    assert quality(Codes(codes.z, None, pixels), codes, 5)["codes"][2] is None


def test_clusters_that_are_the_classes_agree_with_them():
    generator = np.random.default_rng(0)
    label = np.arange(90) % 3
    z = generator.normal(size=(90, 2)) + 20 * np.array([[0, 0], [1, 0], [0, 1]])[label]
    rows, members = agreement(Codes(z, label, np.abs(z)), 3, 0)
    assert rows[0] == ("codes", "Gaussian mixture", (1.0, 1.0))
    assert len({(a, b) for a, b in zip(members, label, strict=True)}) == 3


def test_cluster_and_latent_write_their_pictures(run):
    assert main(["cluster", str(run), "--images", "100"]) == 0
    assert main(["latent", str(run), "--side", "4", "--pairs", "2", "--steps", "3"]) == 0
    for name in ("samples/cluster", "latent/map", "latent/manifold", "latent/interpolation"):
        with Image.open(run / f"{name}.png") as picture:
            assert min(picture.size) > 50


def test_the_plane_is_where_codes_spread_most():
    generator = np.random.default_rng(0)
    z = generator.normal(size=(4000, 5)) * [0.1, 3.0, 0.2, 2.0, 0.1] + 7.0
    centre, axes, lengths = plane(z)
    np.testing.assert_allclose(centre, 7.0, atol=0.2)
    np.testing.assert_allclose(np.abs(axes), np.eye(5)[[1, 3]], atol=0.05)
    np.testing.assert_allclose(lengths, [3.0, 2.0], rtol=0.05)
    assert plane(z[:, :2])[1].tolist() == [[1, 0], [0, 1]]
    assert plane(z[:, :1])[1].shape == (2, 1)


@torch.no_grad()
def test_ways_between_images_begin_and_end_at_them(run):
    module, data = load_run(run)
    batch = next(data.batches("test", 4))
    ways = between(module, batch, 3).unflatten(0, (2, 5))
    assert torch.equal(ways[:, 0], batch["image"][:2])
    assert torch.equal(ways[:, -1], batch["image"][2:])
    assert torch.equal(ways[:, 1], module.reconstruct(batch["image"][:2]))
    assert torch.equal(ways[:, 3], module.reconstruct(batch["image"][2:]))


def test_scores_are_the_models_and_strange_images_stand_out(run, capsys):
    assert main(["outliers", str(run), "--other", "shuffled", "mirrored"]) == 0
    out = capsys.readouterr().out
    assert "shuffled" in out
    assert "AUROC" in out
    rows = list(csv.DictReader((run / "outliers.csv").open()))
    assert [sum(row["set"] == name for row in rows) for name in ("digits", "shuffled", "mirrored")] == [300] * 3
    module, data = load_run(run)
    mean = np.mean([float(row["nats"]) for row in rows if row["set"] == "digits"])
    values = scores(module, list(data.batches("test", 64)))
    assert mean == pytest.approx(values.mean().item(), rel=1e-5)
    assert torch.equal(scores(module, list(data.batches("test", 64))), values)


def test_changed_images_keep_their_grey_levels():
    image = torch.arange(2 * 9, dtype=torch.uint8).view(2, 1, 3, 3)
    for change in CHANGES.values():
        changed = change(image)
        assert not torch.equal(changed, image)
        assert torch.equal(changed.flatten(1).sort(1).values, image.flatten(1))


def test_importance_weights_of_a_known_model():
    """z ~ N(0, 1), x|z ~ N(z, 1): the evidence is N(0, 2), and the posterior's draws weigh the same."""
    generator = torch.Generator().manual_seed(0)
    x, z = torch.tensor([0.5, -1.0]), torch.randn(20000, 2, generator=generator)
    normal = torch.distributions.Normal(0.0, 1.0)
    found = importance_sampled(normal.log_prob(x - z))  # the prior as proposal
    exact = torch.distributions.Normal(0.0, math.sqrt(2)).log_prob(x)
    assert ((found.log_prob - exact).abs() < 4 * found.error).all()
    assert (found.error < 0.02).all()
    assert (found.effective < 20000).all()
    same = importance_sampled(torch.full((8, 3), -2.0))
    assert same.log_prob.tolist() == pytest.approx([-2.0] * 3)
    assert same.error.tolist() == [0.0] * 3
    assert same.effective.tolist() == pytest.approx([8.0] * 3)


def test_rate_of_single_variables_is_the_closed_form_for_gaussians():
    generator = torch.Generator().manual_seed(0)
    mean, scale = torch.tensor([[0.0, 2.0], [0.0, -1.0]]), torch.tensor([[1.0, 0.5], [1.0, 0.2]])
    codes = mean + scale * torch.randn(20000, 2, 2, generator=generator)
    exact = (0.5 * (mean.square() + scale.square() - 1) - scale.log()).mean(0)
    found = fitted_kl(codes, torch.randn(50000, 2, generator=generator))
    torch.testing.assert_close(found, exact.double(), atol=0.03, rtol=0.03)
    torch.testing.assert_close(unit_activity(mean), torch.tensor([0.0, 4.5], dtype=torch.float64))


@pytest.mark.parametrize(
    ("groups", "activity", "words"),
    [
        ([12.0], [0.5, 0.9], None),
        ([12.0], [0.5, 0.9, 0.001], None),
        ([12.0], [0.5, 0.001, 0.001], "2 of 3 latent variables are not used"),
        ([0.01], [], "rate is below 0.05 nats"),
        ([0.01, 5.0, 0.02], [], "layers 0, 2 have a rate below"),
    ],
)
def test_a_collapsed_posterior_is_told(groups, activity, words):
    lines = alarms({"groups": groups, "variables": {"activity": activity}})
    assert (words in lines[0]) if words else not lines


def test_a_posterior_that_collapses_in_training_is_told_once(fit, capsys):
    beta = ["--model.init_args.loss", "lightning_gen.losses.evidence.Beta", "--model.init_args.loss.init_args.beta=1e4"]
    folder = fit("vae/vae", *SMALL, *beta, "--run.evaluate_every", "320", "--run.images", "1920")
    assert capsys.readouterr().err.count("posterior collapse after") == 1
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert any("eval/rate" in row for row in rows)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["evidence"], "DCGAN has no latent variables with a rate"),
        (["reconstruct"], "DCGAN cannot reconstruct"),
        (["denoise"], "DCGAN cannot reconstruct"),
        (["encode"], "DCGAN has no codes"),
        (["latent"], "DCGAN has no codes"),
        (["cluster"], "DCGAN has no codes"),
        (["outliers"], "DCGAN has no likelihood"),
    ],
)
def test_a_model_without_the_ability_is_refused_in_one_line(gan, command, words, capsys):
    name = type(load_run(gan)[0]).__name__
    before = sorted(gan.rglob("*"))
    assert main([command[0], str(gan), *command[1:]]) == 2
    assert words.replace("DCGAN", name) in capsys.readouterr().err
    assert sorted(gan.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cluster", "--clusters", "301"], "--clusters is 301: want at most 300"),
        (["outliers", "--other", "inverse"], "--other is inverse: want the YAML of a data set or one of"),
        (["outliers", "--other", "configs/data/shapes16.yaml"], "want images like those of the run"),
        (["outliers", "--other", "configs/data/digits.yaml"], "is digits again"),
        (["denoise", "--strength", "0"], "'0' given: want a number above 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(run, arguments, words, capsys):
    assert main([arguments[0], str(run), *arguments[1:]]) == 2
    assert words in capsys.readouterr().err


def test_codes_need_a_model_that_has_them():
    with pytest.raises(UserError, match="Linear has no codes"):
        require(torch.nn.Linear(1, 1), LatentModule)
