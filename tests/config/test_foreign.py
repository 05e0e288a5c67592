"""A package of somebody else trains, resumes, samples, evaluates, compares and exports, where the user trusts it."""

import json
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.config.trust import GROUP, VARIABLE, trusting
from lightning_gen.errors import UserError

FOREIGN = Path("tests/foreign")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(FOREIGN.resolve()))


def fit(root, name, *words):
    quick = ["--run.root", str(root), "--trainer.accelerator", "cpu", "--evaluation.samples", "32"]
    return main(["fit", "-c", str(FOREIGN / f"{name}.yaml"), *quick, *words])


@pytest.mark.parametrize("name", ["gan", "table"])
def test_a_package_of_somebody_else_does_everything(name, tmp_path, capsys):
    assert fit(tmp_path, name) == 0
    assert fit(tmp_path, name, "--run.resume", "changed", "--run.images", "128") == 0
    run, out = tmp_path / name, tmp_path / "shared"
    assert load_trusted(run).images_seen == 128
    capsys.readouterr()
    picture = str(tmp_path / "x.png")
    for words in (
        ["sample", str(run), "--out", picture],
        ["evaluate", str(run)],
        ["export", str(run), "--out", str(out)],
    ):
        assert main(words) == 2
        [said] = [line for line in capsys.readouterr().err.splitlines() if line]
        assert "aquarelle" in said
        assert f"want --trust aquarelle or {VARIABLE}=aquarelle" in said
        assert main([*words, "--trust", "aquarelle"]) == 0
        capsys.readouterr()
    assert main(["sample", str(out), "--out", picture, "--trust", "aquarelle"]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path), "--json"]) == 0  # reads text alone: no class is built
    assert json.loads(capsys.readouterr().out)
    drawn = [load_trusted(place).sample(8, generator=torch.Generator().manual_seed(0)) for place in (run, out)]
    assert torch.equal(*drawn)


def load_trusted(folder):
    exported = folder / "model.safetensors"
    with trusting(["aquarelle"]):
        return load_module(exported if exported.exists() else folder / "checkpoints" / "last.ckpt")


def test_an_environment_variable_and_an_entry_point_trust_too(tmp_path, monkeypatch):
    assert fit(tmp_path, "table") == 0
    checkpoint = tmp_path / "table" / "checkpoints" / "last.ckpt"
    with pytest.raises(UserError, match="not trusted"):
        load_module(checkpoint)
    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, "aquarelle")
        assert type(load_module(checkpoint)).__name__ == "PixelTable"
    about = tmp_path / "site" / "aquarelle-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: aquarelle\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\naquarelle = aquarelle\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert type(load_module(checkpoint)).__name__ == "PixelTable"


def test_a_trusted_package_gives_its_own_classes_and_no_others(tmp_path):
    assert fit(tmp_path, "table") == 0
    path = tmp_path / "table" / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    hyper = content["hyper_parameters"]
    for wrong in ("aquarelle.models.torch", "aquarelle.nets.Wash", "aquarelle.models.LikelihoodModule"):
        for key, value in (("_class_path", wrong), ("schedule", wrong), ("optimizer", {"class_path": wrong})):
            torch.save({**content, "hyper_parameters": {**hyper, key: value}}, path)
            with pytest.raises(UserError, match=wrong.rpartition(".")[2]), trusting(["aquarelle"]):
                load_module(path)


def test_a_set_of_the_hub_that_a_run_names_is_fetched_for_nobody(tmp_path, monkeypatch, capsys):
    """Opening a run of somebody else asks no server for anything; a command that needs the images says what to do."""
    fetched = []
    library = types.ModuleType("datasets")
    library.load_dataset = lambda *words, **options: fetched.append(words) or {}
    monkeypatch.setitem(sys.modules, "datasets", library)
    words = ["fit", "-c", "configs/vae/vae.yaml", "--run.root", str(tmp_path), "--run.name", "r", "--run.images", "64"]
    assert main([*words, "--trainer.accelerator", "cpu", "--evaluation.samples", "0"]) == 0
    run, out = tmp_path / "r", tmp_path / "x.png"
    config = yaml.safe_load((run / "config.yaml").read_text())
    hub = {"class_path": "lightning_gen.data.huggingface.HubSet", "init_args": {"path": "stranger/set"}}
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "data": hub}))
    capsys.readouterr()
    assert main(["sample", str(run), "--n", "2", "--out", str(out)]) == 0
    assert main(["compare", str(run), "--html", str(tmp_path / "x.html")]) == 0
    assert main(["export", str(run), "--out", str(tmp_path / "shared")]) == 0
    for command in ("evaluate", "reconstruct", "encode"):
        capsys.readouterr()
        assert main([command, str(run)]) == 2
        assert "a set of the hub that a run names: want --trust datasets" in capsys.readouterr().err
    assert fetched == []
    assert main(["evaluate", str(run), "--trust", "datasets"]) == 2  # the empty set that the library gives
    assert fetched.pop() == ("stranger/set", None)

    monkeypatch.setattr("lightning_gen.data.shards._fetch", lambda path: fetched.append(path) or b"{}")
    shards = {"class_path": "lightning_gen.data.streamed.ShardedImages", "init_args": {"root": "http://stranger"}}
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "data": shards}))
    assert main(["evaluate", str(run)]) == 2
    assert "http://stranger, an address that a run names: want --trust datasets" in capsys.readouterr().err
    assert fetched == []
    assert main(["evaluate", str(run), "--trust", "datasets"]) == 2  # the index is empty
    assert fetched == ["http://stranger/index.json"]
