"""What a trial gets and how it is judged: a GPU of its own, its newest value, a metric that exists."""

import json
from pathlib import Path

import pytest
import yaml

from lightning_gen.config.cli import main
from lightning_gen.errors import UserError
from lightning_gen.launch.devices import shared_out, visible_gpus
from lightning_gen.launch.metric import check_metric, missing, values_of
from lightning_gen.launch.space import parameter

TRAINER = str(Path(__file__).parent / "trainer.py")


def write(folder, parameters, **changes):
    path = folder / "s.yaml"
    sweep = {"method": "grid", "program": TRAINER, "metric": {"name": "loss"}, "parameters": parameters, **changes}
    path.write_text(yaml.safe_dump(sweep))
    return path


def results(folder):
    return {row["trial"]: row for row in json.loads((folder / "s" / "results.json").read_text())["trials"]}


def test_a_diverged_trial_fails_however_good_it_was(tmp_path, capsys):
    path = write(tmp_path, {"lr": {"values": [0.5, 0.01]}, "diverge": {"values": [0, 1]}})
    assert main(["sweep", str(path), "--any-program", "--root", str(tmp_path)]) == 2
    assert "2 of 4 trials failed, the first of them 2: loss is not finite at the end" in capsys.readouterr().err
    found = results(tmp_path)
    assert [found[i]["state"] for i in range(4)] == ["complete", "complete", "fail", "fail"]
    assert [found[i]["value"] for i in (2, 3)] == [None, None]
    assert yaml.safe_load((tmp_path / "s" / "best.yaml").read_text())["run"]["name"] == "s-best"
    assert "trial 1" in (tmp_path / "s" / "best.yaml").read_text()


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "nvidia-smi").write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_each_worker_has_a_gpu_of_its_own(tmp_path, two_gpus, capsys):
    path = write(tmp_path, {"lr": {"values": [0.1, 0.2, 0.3, 0.4]}, "pause": {"value": 0.5}})
    assert main(["sweep", str(path), "--any-program", "--root", str(tmp_path), "--workers", "3"]) == 2
    assert "workers is 3, but this machine has 2 GPUs: want as many, or --share-gpus" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
    assert main(["sweep", str(path), "--any-program", "--root", str(tmp_path), "--workers", "2"]) == 0
    used = {path.read_text() for path in (tmp_path / "s").glob("s-*/gpu")}
    assert used == {"0", "1"}


def test_gpus_are_those_that_are_visible(two_gpus, monkeypatch):
    assert visible_gpus() == ["0", "1"]
    for given, wanted in (("3,5", ["3", "5"]), ("", []), ("-1", [])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert visible_gpus() == wanted
    shared = shared_out(3, ["3", "5"], share=True)
    assert [own["CUDA_VISIBLE_DEVICES"] for own in shared] == ["3", "5", "3"]
    assert shared_out(2, [], share=False) == [{}, {}]


def test_a_misspelt_metric_is_refused_before_the_first_trial(tmp_path, capsys):
    program = "lightning_gen.launch.trial"
    command = ["${env}", "${interpreter}", "-m", "${program}", "${args}"]
    metric = {"name": "eval/bits_per_dimm"}
    path = write(tmp_path, {"lr": {"value": 1}}, program=program, command=command, metric=metric)
    assert main(["sweep", str(path), "--root", str(tmp_path)]) == 2
    assert (
        "metric.name is eval/bits_per_dimm, which no training logs: want eval/bits_per_dim?" in capsys.readouterr().err
    )
    assert not (tmp_path / "s").exists()
    for name in ("eval/fd", "eval/fid_tf1", "eval/kid_classifier-97cfaee8", "train/loss_g", "health/modes", "lr-Adam"):
        check_metric(name)
    for name in ("overlap_notes", "chain_overlap_8", "says_all", "variety_judge-0a", "texture_y", "psnr_y"):
        check_metric(f"eval/{name}")
    with pytest.raises(UserError, match="want one of"):
        check_metric("accuracy")


def test_every_shipped_sweep_names_a_metric_that_exists():
    for path in Path("sweeps").glob("*.yaml"):
        check_metric(yaml.safe_load(path.read_text())["metric"]["name"])


def test_a_metric_that_does_not_come_is_noticed_in_the_third_row_of_its_group():
    rows = [{"train/loss_d": 1.0}, {"eval/rate": 1.0}, {"eval/fd": 2.0}, {"eval/rate": 1.0}]
    assert missing(rows[:3], "eval/bits_per_dim") is None
    assert missing(rows, "eval/bits_per_dim") == "eval/fd, eval/rate"
    assert missing(rows, "eval/fd") is None
    assert values_of([{"a": 1}, {"b": 2}, {"a": None}], "a") == [1.0, None]


@pytest.mark.parametrize("value", ["1e-4", 1e-4])
def test_numbers_that_yaml_takes_for_text_are_numbers(value):
    found = parameter("lr", {"distribution": "log_uniform_values", "min": value, "max": "1"})
    assert found.at(0.0) == pytest.approx(1e-4)
    assert found.at(0.5) == pytest.approx(1e-2)
    with pytest.raises(UserError, match=r"lr.min is 'small': want a number"):
        parameter("lr", {"min": "small", "max": 1.0})
