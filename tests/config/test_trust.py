"""What a stranger sends is data: no checkpoint, export or run folder runs, imports or writes anything."""

import json
import shutil

import pytest
import torch
import yaml
from safetensors.torch import save_file

from lightning_gen.config.cli import main
from lightning_gen.config.trust import VARIABLE, find_class, trusting
from lightning_gen.errors import UserError
from tests.config.hostile import VECTORS, aimed, watched

PLACES = ("decoder", "optimizer", "posterior", "schedule", "_class_path")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    words = ["--run.root", str(root), "--run.name", "r", "--run.images", "64", "--trainer.accelerator", "cpu"]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *words, "--evaluation.samples", "0"]) == 0
    return root / "r"


@pytest.fixture
def copy(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "planted.py").write_text("open('PROOF', 'w').close()\nclass Net: pass\n")
    return shutil.copytree(run, tmp_path / "copy")


def refused(words, proof, capsys):
    """The one plain line with which a command ends, after which nothing has happened."""
    before = sorted(proof.parent.rglob("*"))
    with watched() as seen:
        status = main(words)
    said = capsys.readouterr().err
    assert status == 2, (words, said)
    assert (seen, said.count("\n"), said.startswith("lightning-gen: ")) == ([], 1, True), (seen, said)
    assert sorted(proof.parent.rglob("*")) == before
    assert len(said) < 700
    return said


@pytest.mark.parametrize("vector", VECTORS)
def test_a_hostile_checkpoint_does_nothing(vector, copy, tmp_path, capsys):
    path = copy / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    value = aimed(VECTORS[vector], str(tmp_path / "PROOF"))
    for place in PLACES:
        named = value.get("class_path") if place == "_class_path" and isinstance(value, dict) else value
        torch.save({**content, "hyper_parameters": {**content["hyper_parameters"], place: named}}, path)
        refused(["sample", str(copy), "--out", str(tmp_path / "x.png")], tmp_path / "PROOF", capsys)


@pytest.mark.parametrize("vector", VECTORS)
def test_a_hostile_export_does_nothing(vector, copy, tmp_path, capsys):
    hyper = torch.load(copy / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]
    value = aimed(VECTORS[vector], str(tmp_path / "PROOF"))
    header = {"lightning_gen": json.dumps({"model": {**hyper, "decoder": value}, "images_seen": 64})}
    save_file({"weight": torch.zeros(2)}, copy / "model.safetensors", header)
    refused(["sample", str(copy), "--out", str(tmp_path / "x.png")], tmp_path / "PROOF", capsys)


@pytest.mark.parametrize("vector", VECTORS)
def test_a_hostile_run_folder_does_nothing(vector, copy, tmp_path, capsys):
    value = aimed(VECTORS[vector], str(tmp_path / "PROOF"))
    config = yaml.safe_load((copy / "config.yaml").read_text())
    levels = {"class_path": "lightning_gen.data.digits.Digits", "init_args": {"levels": value}}
    for section, key in (("evaluation", "extractor"), ("evaluation", "distances"), ("data", None), ("data", "levels")):
        changed = {**config[section], key: [value] if key == "distances" else value} if key else value
        changed = levels if key == "levels" else changed
        (copy / "config.yaml").write_text(yaml.safe_dump({**config, section: changed}))
        refused(["evaluate", str(copy)], tmp_path / "PROOF", capsys)


def _planar(layers):
    flow = {"class_path": "lightning_gen.bijections.planar.PlanarFlow", "init_args": {"layers": layers}}
    return {"class_path": "lightning_gen.distributions.posteriors.FlowPosterior", "init_args": {"flow": flow}}


def test_a_checkpoint_of_other_content_is_one_line(copy, tmp_path, capsys):
    path = copy / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    hyper = content["hyper_parameters"]
    changes = {
        "no classes": {"hyper_parameters": {}},
        "another type": {"hyper_parameters": 3},
        "no weights": {"state_dict": None},
        "weights of another shape": {"state_dict": {key: torch.zeros(3) for key in content["state_dict"]}},
        "weights that are none": {"state_dict": dict.fromkeys(content["state_dict"], "x")},
        "an average of another shape": {"ema": {key: torch.zeros(3) for key in content["state_dict"]}},
        "an average that is none": {"ema": 3},
        "images that are none": {"images_seen": "many"},
        "an unknown argument": {"hyper_parameters": {**hyper, "nope": 1}},
        "a missing argument": {"hyper_parameters": {k: v for k, v in hyper.items() if k != "decoder"}},
        "a size below nothing": {"hyper_parameters": {**hyper, "latent_dim": -5}},
        "a size beyond memory": {"hyper_parameters": {**hyper, "latent_dim": 2**62}},
        "layers without end": {"hyper_parameters": {**hyper, "posterior": _planar(10**9)}},
        "a few too many layers": {"hyper_parameters": {**hyper, "posterior": _planar(1025)}},
        "a number beyond numbers": {"hyper_parameters": {**hyper, "latent_dim": 2**70}},
        "another spec": {"hyper_parameters": {**hyper, "spec": {"channels": 0, "height": 8, "width": 8}}},
        "a spec that is none": {"hyper_parameters": {**hyper, "spec": "spec"}},
        "a tensor for an argument": {"hyper_parameters": {**hyper, "decoder": torch.zeros(2)}},
    }
    for name, change in changes.items():
        torch.save({**content, **change}, path)
        said = refused(["sample", str(copy), "--out", str(tmp_path / "x.png")], tmp_path / "PROOF", capsys)
        assert "want" in said, name
    for name, whole in (("a list", [1]), ("a tensor", torch.zeros(2)), ("nothing", None)):
        torch.save(whole, path)
        refused(["sample", str(copy), "--out", str(tmp_path / "x.png")], tmp_path / "PROOF", capsys)
        path.write_bytes(name.encode())
        refused(["sample", str(copy), "--out", str(tmp_path / "x.png")], tmp_path / "PROOF", capsys)


def test_the_message_says_how_to_trust_a_package(copy, tmp_path, capsys, monkeypatch):
    path = copy / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    decoder = {"class_path": "stranger.Net", "init_args": {}}
    torch.save({**content, "hyper_parameters": {**content["hyper_parameters"], "decoder": decoder}}, path)
    said = refused(["sample", str(copy), "--out", str(tmp_path / "x.png")], tmp_path / "PROOF", capsys)
    assert "model.init_args.decoder.class_path is stranger.Net, of a package that is not trusted" in said
    assert f"want --trust stranger or {VARIABLE}=stranger" in said
    words = ["sample", str(copy), "--out", str(tmp_path / "x.png"), "--trust", "stranger"]
    assert "No module named 'stranger'" in refused(words, tmp_path / "PROOF", capsys)
    monkeypatch.setenv(VARIABLE, "other, stranger")
    assert "No module named 'stranger'" in refused(words[:-2], tmp_path / "PROOF", capsys)


def test_trust_ends_with_the_command_that_was_given_it(tmp_path):
    with trusting(["json"]):
        assert find_class("json.JSONDecoder", "x").__name__ == "JSONDecoder"
    with pytest.raises(UserError, match="not trusted"):
        find_class("json.JSONDecoder", "x")
    with trusting(["json"]), pytest.raises(UserError, match=r"no class of json"):
        find_class("json.loads", "x")
    with trusting(["glob"]), pytest.raises(UserError, match=r"no class of glob"):
        find_class("glob.os", "x")
    with pytest.raises(UserError, match="want the name of a package"), trusting(["a/b"]):
        pass
