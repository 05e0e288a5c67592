"""What `evaluate` takes beside the protocol of the run."""

import json

from lightning_gen.config.cli import main

CPU = ["--trainer.accelerator", "cpu"]


def test_a_finished_run_takes_other_features_from_a_file(tmp_path, capsys):
    run = ["--run.root", str(tmp_path), "--run.name", "r", "--run.images", "64", "--evaluation.samples", "0", *CPU]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *run]) == 0
    config = tmp_path / "other.yaml"
    evaluate = ["evaluate", str(tmp_path / "r"), "--split", "val", "--json", "--evaluation", str(config)]
    for text, words in (
        ("run: {}", f"config {config} has no section evaluation: want one with the arguments to be changed"),
        ("evaluation: [1]", f"config {config}: evaluation is [1]: want its arguments"),
        ("evaluation: {sample: 64}", f"config {config} over that of the run: evaluation.sample is no argument"),
    ):
        config.write_text(text)
        capsys.readouterr()
        assert main(evaluate) == 2
        assert words in capsys.readouterr().err
    config.write_text(
        "evaluation: {samples: 64, extractor: {class_path: lightning_gen.metrics.extractors.Classifier,"
        " init_args: {dims: 7}}, distances: [{class_path: lightning_gen.metrics.frechet.FrechetDistance}]}"
    )
    assert main(evaluate) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert any(name.startswith("fd_classifier-") for name in metrics)
    assert {metric["identity"].get("features", 7) for metric in metrics.values()} == {7}
