"""A translation model as ONNX: the same function as in training and in use, at other sizes too."""

import importlib.util
import json

import numpy as np
import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.images import to_signed

INSTALLED = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
needs_onnx = pytest.mark.skipif(not INSTALLED, reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    words = ["fit", "-c", "configs/translation/pix2pix.yaml", "--run.root", str(root), "--run.name", "r"]
    tiny = [f"--model.init_args.{net}.init_args.width=4" for net in ("generator", "discriminator")]
    few = ["--run.images=16", "--data.init_args.size=16", "--data.init_args.images=32", "--evaluation.samples=0"]
    assert main([*words, *tiny, *few, "--trainer.accelerator", "cpu"]) == 0
    return root / "r"


@needs_onnx
def test_training_use_and_export_are_one_function(run, tmp_path, capsys):
    import onnxruntime

    out = tmp_path / "shared"
    assert main(["export", str(run), "--out", str(out), "--onnx"]) == 0
    assert "model.onnx: any height and width; from PyTorch it differs by" in capsys.readouterr().out
    module = load_module(out / "model.safetensors")
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    spec = json.loads(session.get_modelmeta().custom_metadata_map["spec"])
    assert spec == json.loads(json.dumps(module.spec.as_dict()))
    for layer in module.network.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0  # the noise of training is no part of the comparison
    for shape in ((2, 1, 16, 16), (1, 1, 37, 50)):
        levels = torch.randint(9, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        source = to_signed(levels, 9)
        with torch.no_grad():
            used, trained = module.network.eval()(source), module.network.train()(source)
        [image] = session.run(["image"], {"source": source.numpy()})
        assert np.abs(image - used.numpy()).max() < 1e-4
        assert (used - trained).abs().max() < 1e-4
    assert "image-to-image" in (out / "README.md").read_text()
    assert "lightning-gen translate FOLDER" in (out / "README.md").read_text()


def test_what_cannot_be_exported_is_one_plain_line(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["export", str(run), "--out", str(tmp_path / "shared"), "--onnx"]) == 2
    assert "onnx, onnxruntime, onnxscript not installed, want pip install" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
