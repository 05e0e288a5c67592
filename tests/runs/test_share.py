"""An exported model is the model: the same samples bit for bit, and a card with the numbers that were measured."""

import json
import shutil

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.errors import UserError

TINY = {
    "gan/dcgan": [f"--model.init_args.{net}.init_args.width=4" for net in ("generator", "discriminator")],
    "vae/vae_planar": [],
}


@pytest.fixture(scope="module", params=list(TINY))
def run(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    words = ["--run.root", str(root), "--run.name", "r", "--run.images", "128", "--trainer.accelerator", "cpu"]
    few = ["--evaluation.samples", "100" if request.param == "gan/dcgan" else "0", *TINY[request.param]]
    assert main(["fit", "-c", f"configs/{request.param}.yaml", *words, *few]) == 0
    return root / "r"


def drawn(path):
    return load_module(path).sample(32, generator=torch.Generator().manual_seed(3))


def test_the_samples_of_an_export_are_those_of_the_checkpoint(run, tmp_path, capsys):
    out = tmp_path / "shared"
    assert main(["export", str(run), "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "config.yaml", "model.safetensors", "samples.png"]
    exported = load_module(out / "model.safetensors")
    assert torch.equal(drawn(run / "checkpoints" / "last.ckpt"), drawn(out / "model.safetensors"))
    assert (exported.images_seen, exported.training) == (128, False)
    with safe_open(out / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(exported.ema_network.state_dict())
    assert set(yaml.safe_load((out / "config.yaml").read_text())) == {"seed_everything", "data", "model", "evaluation"}
    # The folder stands where a run's does, and the file alone says how its model is built.
    assert main(["sample", str(out), "--n", "4", "--out", str(tmp_path / "x.png")]) == 0
    assert main(["evaluate", str(out), "--samples", "0", "--split", "val"]) == 0
    alone = shutil.copy(out / "model.safetensors", tmp_path / "alone.safetensors")
    assert torch.equal(drawn(alone), drawn(out / "model.safetensors"))


def test_the_card_says_what_was_measured_and_how(run, tmp_path):
    assert main(["export", str(run), "--out", str(tmp_path / "shared")]) == 0
    text = (tmp_path / "shared" / "README.md").read_text()
    [row] = map(json.loads, (run / "evaluations.jsonl").read_text().splitlines())
    for name, metric in row["metrics"].items():
        [line] = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
        identity = metric["identity"]
        assert f"fingerprint {identity['fingerprint']}" in line
        assert (identity.get("bound") or f"weights {identity['weights']}") in line
    assert "128 training images of digits (fingerprint c31bcbf41854af2c)" in text
    assert str(run) not in text


def test_a_checkpoint_without_numbers_says_so_and_bad_input_is_one_line(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "evaluations.jsonl").unlink()
    assert main(["export", str(copy), "--out", str(tmp_path / "shared")]) == 0
    assert "Nothing was measured of this checkpoint (128 images seen)" in (tmp_path / "shared/README.md").read_text()
    capsys.readouterr()
    for words, line in (
        ([str(copy), "--out", str(tmp_path / "shared")], "exists already: want a new folder"),
        ([str(tmp_path / "shared"), "--out", str(tmp_path / "b")], "is an exported model: want a run folder"),
        ([str(tmp_path / "none"), "--out", str(tmp_path / "b")], "want the folder of a finished run"),
    ):
        assert main(["export", *words]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1
    assert not (tmp_path / "b").exists()


def test_a_file_that_is_no_export_is_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(UserError, match="want one that lightning-gen export wrote"):
        load_module(tmp_path / "foreign.safetensors")
    about = {"model": {"_class_path": "subprocess.Popen"}, "images_seen": 0}
    save_file({"weight": torch.zeros(2)}, tmp_path / "evil.safetensors", {"lightning_gen": json.dumps(about)})
    with pytest.raises(UserError, match=r"class_path is subprocess.Popen, of a package that is not trusted"):
        load_module(tmp_path / "evil.safetensors")
