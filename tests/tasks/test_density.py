"""Density pictures, outlier scores and a flow's completions, from the command line on runs of two batches."""

import json
import math

import pytest
import torch
from PIL import Image

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_run
from lightning_gen.data.toy import ToyWorld
from lightning_gen.tasks.common.typicality import code_lengths, statistics
from lightning_gen.tasks.density import distances, histogram


@pytest.fixture(scope="module")
def toy(fit):
    few = ["--data.init_args.levels", "16", "--data.init_args.images", "512", "--run.images", "512"]
    return fit("flow/maf", "-c", "configs/data/toy.yaml", *few)


@pytest.fixture(scope="module")
def flow(fit):
    return fit("flow/nice", "--run.images", "128")


def test_density_draws_world_model_and_samples(toy, capsys):
    assert main(["density", str(toy), "--samples", "200", "--draws", "2"]) == 0
    with Image.open(toy / "samples" / "density.png") as picture:
        assert picture.size == (3 * 256 + 2 * 4, 256)
    facts = json.loads((toy / "samples" / "density.json").read_text())
    assert 0.2 < facts["total_probability"] < 1.5
    assert facts["kl_bits_per_dim"] > 0
    assert "dequantized, mean of 2 draws" in capsys.readouterr().out


def test_distances_of_the_world_from_itself_and_from_a_uniform_one():
    world = ToyWorld("checkerboard", levels=8).probabilities
    assert distances(world, world) == pytest.approx({"kl_bits_per_dim": 0.0, "total_variation": 0.0}, abs=1e-12)
    uniform = torch.full((8, 8), 1 / 64, dtype=torch.float64)
    assert distances(world, uniform) == pytest.approx({"kl_bits_per_dim": 0.5, "total_variation": 0.5})
    drawn = histogram(iter([torch.tensor([[0, 1], [0, 1], [7, 0]], dtype=torch.uint8)]), ToyWorld(levels=8).spec)
    assert drawn[0, 1] == pytest.approx(2 / 3)
    assert drawn[7, 0] == pytest.approx(1 / 3)


def test_scores_are_what_their_papers_say():
    image = torch.randint(256, (2, 1, 16, 16), dtype=torch.uint8)
    image[0] = 7
    lengths = code_lengths(image)
    assert lengths[0] < lengths[1] / 5
    assert lengths[1] == pytest.approx(256 * 8 * math.log(2), rel=0.2)
    nats = torch.tensor([3.0, 9.0], dtype=torch.float64)
    found = statistics(nats, image, 5.0, torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert found["typicality"].tolist() == [2, 4]
    assert found["ratio"].tolist() == [2, 7]
    assert torch.equal(found["complexity"], nats - lengths)
    assert "ratio" not in statistics(nats, image, 5.0)


def test_score_holds_every_statistic_against_another_set(flow, capsys):
    arguments = ["outliers", str(flow), "--other", "shuffled", "--background", str(flow), "--images", "64"]
    assert main(arguments) == 0
    lines = (flow / "outliers.csv").read_text().splitlines()
    assert lines[0] == "set,image,nats,typicality,complexity,ratio"
    assert len(lines) == 1 + 2 * 64
    assert {line.rpartition(",")[2] for line in lines[1:]} == {"0"}  # a model is no better than itself
    assert "AUROC" in capsys.readouterr().out


def test_a_flow_completes_approximately_and_keeps_what_is_known(flow, tmp_path, monkeypatch, capsys):
    from lightning_gen.inference.langevin import langevin

    monkeypatch.setattr("lightning_gen.models.flow.langevin", lambda *a, **k: langevin(*a, **k, steps=5))
    out = tmp_path / "x.png"
    assert main(["complete", str(flow), "--n", "2", "--draws", "2", "--out", str(out)]) == 0
    assert capsys.readouterr().out.rstrip().endswith("2 completions, approximate")
    module, data = load_run(flow)
    image = next(data.batches("test", 3))["image"]
    known = torch.rand(3, 1, 8, 8) < 0.5
    done = module.complete(image, known, None, torch.Generator().manual_seed(0))
    assert torch.equal(torch.where(known, done, 0), torch.where(known, image, 0))
    assert torch.equal(done, module.complete(image, known, None, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("which", "arguments", "words"),
    [
        ("flow", ["density"], "want two pixels, as of configs/data/toy.yaml"),
        ("flow", ["outliers", "--background", "nowhere"], "run nowhere does not exist"),
    ],
)
def test_what_a_model_cannot_is_one_plain_line(which, arguments, words, capsys, request):
    run = request.getfixturevalue(which)
    assert main([arguments[0], str(run), *arguments[1:]]) == 2
    assert words in capsys.readouterr().err


def test_a_background_of_other_images_is_refused(flow, toy, capsys):
    assert main(["outliers", str(flow), "--background", str(toy)]) == 2
    assert "want images like those of the run" in capsys.readouterr().err
