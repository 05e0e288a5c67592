"""Numbers of translations: labels read off outputs, cycles through a JPEG, trivial models, the best checkpoint."""

import json

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.config.loading import read_checkpoint
from lightning_gen.contracts import BackTranslationModule, ImageData, TranslationModule
from lightning_gen.data.shape_domains import ShapeDomains
from lightning_gen.data.shape_maps import ShapeMaps
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.images import ImageSpec, label_map
from lightning_gen.metrics.segmenter import UNetSegmenter, fit_segmenter
from lightning_gen.runs.read import read_runs
from lightning_gen.runs.tables import build_tables
from lightning_gen.tasks.common.trivial_translations import trivial_translations


def _segmenter(spec, classes):
    return UNetSegmenter(spec, classes, width=8, steps=120)


@pytest.fixture(scope="module")
def maps():
    return ShapeMaps(24, images=300)


def test_a_segmenter_finds_the_labels_in_real_photos_and_not_in_their_mean(maps):
    evaluation, found = Evaluation("test", samples=0, segmenter=_segmenter), {}
    for name, draw in trivial_translations(maps, "test"):
        found[name] = {key.split("_")[0]: row for key, row in evaluation.segments(draw, maps).items()}
    assert set(found) == {"baseline-mean", "baseline-nearest", "baseline-target"}
    values = {name: rows["accuracy"]["value"] for name, rows in found.items()}
    assert values["baseline-target"] > 0.9
    assert values["baseline-target"] > max(values["baseline-nearest"], values["baseline-mean"])
    assert found["baseline-target"]["iou"]["value"] > 2 * found["baseline-mean"]["iou"]["value"]
    again = Evaluation("test", samples=0, segmenter=_segmenter)
    assert again.segments(draw, maps).keys() == evaluation.segments(draw, maps).keys(), (
        "the same weights, by their hash"
    )
    identity = found["baseline-target"]["accuracy"]["identity"]
    few = ShapeMaps(16, images=16).splits["train"]
    nets = [fit_segmenter(UNetSegmenter(maps.spec, 9, 4, 3), few["image"], label_map(few["source"])) for _ in range(2)]
    assert nets[0].label == nets[1].label, "the same weights for the same data"
    assert (identity["images"], identity["split"], len(identity["segmenter"])) == (256, "test", 8)


def test_colours_of_true_pictures_are_right_and_of_others_wrong(maps):
    [batch] = maps.batches("test", 256)
    assert maps.exact(batch["image"], batch)["colour_accuracy"].mean() == 1
    others = batch["image"].roll(1, 0)
    assert maps.exact(others, batch)["colour_accuracy"].mean() < 0.5


def test_every_trivial_model_scores_its_own_kind_of_numbers(maps, tmp_path):
    text = "data: {class_path: lightning_gen.data.shape_maps.ShapeMaps, init_args: {size: 16, images: 64}}\n"
    judge = "{class_path: lightning_gen.metrics.segmenter.UNetSegmenter, init_args: {width: 4, steps: 2}}"
    (tmp_path / "c.yaml").write_text(f"{text}evaluation: {{segmenter: {judge}}}\n")
    assert main(["baselines", str(tmp_path / "c.yaml"), "--root", str(tmp_path / "runs"), "--samples", "64"]) == 0
    rows = {
        path.name: json.loads((path / "evaluations.jsonl").read_text())["metrics"]
        for path in (tmp_path / "runs").iterdir()
    }
    assert {"psnr", "l1", "ssim", "colour_accuracy"} <= rows["baseline-mean"].keys()
    assert any(name.startswith("fd_") for name in rows["baseline-nearest"])
    assert {name.split("_")[0] for name in rows["baseline-target"]} == {"accuracy", "iou"}
    assert "psnr" not in rows["baseline-real"]
    tables = build_tables(read_runs([tmp_path / "runs"]))
    for table in tables:
        assert len({json.dumps(row.score.identity | {"seed": 0}) for g in table.groups for row in g.rows}) == 1
    [accuracy] = [table for table in tables if table.metric.startswith("accuracy")]
    baseline = accuracy.groups[0].baseline
    assert baseline is not None
    assert baseline.run.about["name"] != "baseline-target", "the ceiling is nothing to beat"


def test_the_source_is_a_baseline_where_it_is_a_picture_like_the_target():
    data = ShapeDomains(16, images=32)
    found = dict(trivial_translations(data, "test"))
    assert set(found) == {"baseline-source", "baseline-mean", "baseline-nearest", "baseline-target"}
    [batch] = data.batches("test", 64, 0, 64)
    assert torch.equal(found["baseline-source"](0), batch["source"])
    metrics = Evaluation("test", samples=0).translations(found["baseline-target"], data)
    assert metrics["l1"]["value"] == 0
    assert metrics["attribute_accuracy"]["value"] == 1


class Hiding(TranslationModule, BackTranslationModule):
    """There: a grey picture, the source in the lowest bits. Back: reads it there."""

    def translate(self, batch, generator=None):
        return (batch["source"] // 64 + 128).to(torch.uint8)

    def translate_back(self, batch, generator=None):
        return ((batch["image"].int() - 128).clamp(0, 3) * 64).to(torch.uint8)


class Stripes(ImageData):
    spec = ImageSpec(3, 16, 16, source=ImageSpec(3, 16, 16))
    fingerprint, name = "0" * 16, "stripes"

    def size(self, split):
        return 8

    def batches(self, split, batch_size, start=0, stop=None):
        pixels = torch.randint(4, (8, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 64
        yield {"source": pixels.to(torch.uint8), "image": (pixels // 64 + 128).to(torch.uint8)}


def test_a_cycle_that_lives_in_faint_noise_does_not_survive_a_jpeg():
    data = Stripes()
    metrics = Evaluation("test", samples=0).measure(Hiding(data.spec).eval(), data)
    assert metrics["cycle_l1"]["value"] == 0
    assert metrics["cycle_back_l1"]["value"] == 0
    assert metrics["cycle_jpeg_l1"]["value"] > 0.1
    assert metrics["cycle_jpeg_l1"]["identity"]["jpeg_quality"] == 90
    assert metrics["cycle_back_jpeg_l1"]["value"] < 0.01  # what is seen survives


def test_the_best_checkpoint_is_the_one_of_the_highest_psnr(tmp_path):
    words = ["fit", "-c", "configs/translation/pix2pix.yaml", "--run.root", str(tmp_path), "--run.images", "64"]
    tiny = [f"--model.init_args.{net}.init_args.width=4" for net in ("generator", "discriminator")]
    data = ["--data.init_args.size=16", "--data.init_args.images=64", "--data.init_args.batch_size=4"]
    every = ["--run.evaluate_every=16", "--evaluation.samples=0", "--run.grid_every=0", "--trainer.accelerator=cpu"]
    assert main([*words, *tiny, *data, *every]) == 0
    lines = (tmp_path / "pix2pix" / "evaluations.jsonl").read_text().splitlines()
    psnr = {row["images_seen"]: row["metrics"]["psnr"]["value"] for row in map(json.loads, lines)}
    best = read_checkpoint(tmp_path / "pix2pix" / "checkpoints" / "best.ckpt")["images_seen"]
    assert len(psnr) == 4
    assert psnr[best] == max(psnr.values())
    assert main(["evaluate", str(tmp_path / "pix2pix"), "--samples", "64", "--split", "val"]) == 0
