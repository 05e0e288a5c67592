"""Baselines: what trivial models of a set score, as run folders that are compared like runs."""

import json
import math

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.tasks.baselines import histogram_bits, lzma_bits, png_bits


def test_the_histogram_codes_by_the_frequencies_of_its_training_images():
    train = torch.zeros(6, 1, 1, 2, dtype=torch.uint8)
    train[:2, ..., 1] = 1  # the first pixel is 0 in 6 of 6, the second in 4 of 6; one is added to each of two counts
    image = torch.tensor([[[[0, 1]]]], dtype=torch.uint8)
    expected = -(math.log2(7 / 8) + math.log2(3 / 8)) / 2
    assert histogram_bits(train, image, 2).tolist() == pytest.approx([expected])


@pytest.mark.parametrize("bits", [png_bits, lzma_bits])
def test_files_of_noise_cost_its_entropy_and_files_of_one_colour_little(bits):
    noise = torch.randint(256, (200, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert 8.0 <= bits(noise) < 9.0  # a byte more for each row of a PNG
    assert bits(torch.zeros_like(noise)) < 0.2


def test_each_baseline_is_a_run_folder_and_a_run_of_its_name_is_left_alone(tmp_path, capsys):
    words = ["configs/data/digits.yaml", "--root", str(tmp_path), "--samples", "128"]
    assert main(["baselines", *words]) == 0
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {f"baseline-{name}" for name in ("histogram", "png", "lzma", "real", "collapsed", "noise")}
    rows = {name: json.loads((tmp_path / name / "evaluations.jsonl").read_text()) for name in found}
    bits = {name: row["metrics"].get("bits_per_dim", {}).get("value") for name, row in rows.items()}
    assert bits["baseline-histogram"] < bits["baseline-png"]
    pairs = [(name, key, metric["value"]) for name, row in rows.items() for key, metric in row["metrics"].items()]
    frechet = {name: value for name, key, value in pairs if key.startswith("fd_")}
    assert frechet["baseline-real"] < frechet["baseline-collapsed"]
    assert frechet["baseline-real"] < frechet["baseline-noise"]
    assert main(["baselines", *words]) == 0, "written anew"
    (tmp_path / "baseline-png" / "checkpoints").mkdir()
    assert main(["baselines", *words]) == 2
    assert "baseline-png is a run" in capsys.readouterr().err
