"""A run that begins with the weights of another one."""

import hashlib

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.reading import read_json

SMALL = ["--evaluation.samples", "0", "--run.rate_images", "64", "--trainer.accelerator", "cpu"]


def fit(root, name, *more, config="vae/vae", images=64):
    run = ["--run.root", str(root), "--run.name", name, "--run.images", str(images), *SMALL]
    return main(["fit", "-c", f"configs/{config}.yaml", *run, *more])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    assert fit(root, "vae", images=256) == 0
    assert fit(root, "gan", config="gan/dcgan") == 0
    return root


def test_a_run_begins_with_the_averaged_weights_and_says_so(source, tmp_path):
    words = ["--run.start_from", str(source / "vae"), "--trainer.max_epochs", "0"]
    begun = _begun_with(source, tmp_path, words)
    averaged = load_module(source / "vae" / "checkpoints" / "last.ckpt").state_dict()
    assert all(torch.equal(begun[name], averaged[name]) for name in averaged)
    about = read_json(tmp_path / "x" / "run.json")["start_from"]
    content = (source / "vae" / "checkpoints" / "last.ckpt").read_bytes()
    assert about["sha256"] == hashlib.sha256(content).hexdigest()
    assert about["taken"] == len(averaged)
    assert about["fresh"] == about["unused"] == []


def _begun_with(source, root, words):
    from lightning_gen.training import train

    found = {}
    original = train._prepare_networks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_prepare_networks", lambda m, run: (found.update(m.state_dict()), original(m, run)))
        assert fit(root, "x", *words) == 0
    return {name: value.clone() for name, value in found.items()}


def test_an_exported_model_and_a_checkpoint_file_serve_as_well(source, tmp_path):
    assert main(["export", str(source / "gan"), "--out", str(tmp_path / "shared")]) == 0
    files = [tmp_path / "shared", source / "gan" / "checkpoints" / "last.ckpt"]
    for number, path in enumerate(files):
        assert fit(tmp_path, f"x{number}", "--run.start_from", str(path), config="gan/dcgan") == 0
    exported, whole = (read_json(tmp_path / f"x{n}" / "run.json")["start_from"] for n in (0, 1))
    assert any(name.startswith("discriminator") for name in exported["fresh"])
    assert not any(name.startswith("generator") for name in exported["fresh"])
    assert whole["fresh"] == []


def test_another_head_is_refused_but_another_part_is_fresh(source, tmp_path, capsys):
    words = ["--run.start_from", str(source / "vae")]
    assert fit(tmp_path, "x", *words, "--model.init_args.latent_dim", "5") == 2
    line = capsys.readouterr().err.strip()
    assert "run.start_from is" in line
    assert "the model wants" in line
    assert "\n" not in line
    assert not (tmp_path / "x").exists()
    assert fit(tmp_path, "y", *words, config="gan/dcgan") == 2
    assert "none of its weights has the name" in capsys.readouterr().err
    assert fit(tmp_path, "z", "--run.start_from", str(tmp_path / "nowhere")) == 2
    assert "nowhere" in capsys.readouterr().err
    (tmp_path / "damaged.ckpt").write_bytes(b"nothing")
    assert fit(tmp_path, "z", "--run.start_from", str(tmp_path / "damaged.ckpt")) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_resumed_run_goes_on_with_its_own_weights(source, tmp_path):
    words = ["--run.start_from", str(source / "vae"), "--run.save_every", "64"]
    assert fit(tmp_path, "whole", *words, images=256) == 0
    assert fit(tmp_path, "parts", *words, images=128) == 0
    assert fit(tmp_path, "parts", *words, "--run.resume", "changed", images=256) == 0
    a, b = (torch.load(tmp_path / n / "checkpoints" / "last.ckpt", weights_only=True) for n in ("whole", "parts"))
    assert all(torch.equal(a["state_dict"][name], b["state_dict"][name]) for name in a["state_dict"])
    assert read_json(tmp_path / "parts" / "run.json")["start_from"]["taken"]
