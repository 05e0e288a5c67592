"""The network of a translation model as an ONNX file, held against PyTorch before it is handed out."""

import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen.contracts import ImageModule, TranslationModule
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

__all__ = ["TOLERANCE", "check_onnx", "write_onnx"]

#: largest difference from PyTorch, of values in [-1, 1]
TOLERANCE = 1e-4
#: of a dynamic side, pixels
_SMALLEST, _LARGEST = 16, 1 << 14


def check_onnx(module: ImageModule) -> TranslationModule:
    """Raise where `module` cannot be written as ONNX.

    Raises:
        UserError: it does not translate, gives other outputs with other random numbers, or is told more than a source;
            or a package of the extra ``onnx`` is missing.
    """
    name = type(module).__name__
    if not isinstance(module, TranslationModule):
        raise UserError(f"--onnx given: {name} does not translate, want a translation model")
    if module.stochastic:
        raise UserError(f"--onnx given: this {name} draws random numbers in use, want one that is deterministic")
    if more := [key for key in module.condition_keys if key != "source"]:
        raise UserError(f"--onnx given: {name} is told {', '.join(more)} too, want a model of sources alone")
    missing = [package for package in ("onnx", "onnxruntime", "onnxscript") if not importlib.util.find_spec(package)]
    if missing:
        raise UserError(f"--onnx given: {', '.join(missing)} not installed, want pip install 'lightning-gen[onnx]'")
    return module


def write_onnx(path: Path, module: TranslationModule) -> str:
    """Write the network from signed sources (B, C', H, W) to signed images (B, C, H, W), float32, in [-1, 1]; run
    it.

    Its metadata hold the spec: how levels become signed values, and the palette of label maps. Batch, height and width
    are free where the network allows that; else the file takes the pictures of the spec alone.

    Args:
        path: of the file.
        module: see `check_onnx`.

    Returns:
        What it takes, and how far it is from PyTorch, in words.

    Raises:
        UserError: it differs from PyTorch by more than `TOLERANCE`.
    """
    network, spec = module.network.eval().cpu(), module.spec.source
    assert spec is not None
    program, free = _exported(network, spec)
    for key, value in {"spec": json.dumps(module.spec.as_dict()), "scaling": "signed"}.items():
        program.model.metadata_props[key] = value
    program.save(str(path))
    worst = max(_difference(path, network, shape) for shape in _shapes(spec, free))
    if not worst <= TOLERANCE:
        path.unlink()
        raise UserError(f"--onnx given: the file differs from PyTorch by {worst:.1e}, want {TOLERANCE:g} or less")
    taken = "any height and width" if free else f"{spec.height}x{spec.width} pixels alone"
    return f"{taken}; from PyTorch it differs by {worst:.1e} at most"


def _exported(network: nn.Module, spec: ImageSpec) -> tuple[Any, bool]:
    """The program, and whether its sides are free."""
    sides = [max(side, _SMALLEST) for side in spec.shape[1:]]
    side = {"min": _SMALLEST, "max": _LARGEST}
    dims = {0: torch.export.Dim("batch", min=1, max=4096)}
    free = dims | {2: torch.export.Dim("height", **side), 3: torch.export.Dim("width", **side)}
    try:
        return _export(network, torch.zeros(2, spec.channels, *sides), free), True
    except Exception:  # a network that takes one size alone fails in ways of its own
        return _export(network, torch.zeros(2, *spec.shape), {}), False


def _export(network: nn.Module, example: Tensor, dims: dict[int, Any]) -> Any:
    shapes = (dims,) if dims else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter speaks of its own future
        return torch.onnx.export(
            network,
            (example,),
            input_names=["source"],
            output_names=["image"],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )


def _shapes(spec: ImageSpec, free: bool) -> list[tuple[int, ...]]:
    """Sizes of sources to compare: the spec's, and odd ones."""
    channels, height, width = spec.shape
    if not free:
        return [(2, channels, height, width)]
    height, width = max(height, _SMALLEST), max(width, _SMALLEST)
    return [(2, channels, height, width), (1, channels, height + 5, 2 * width), (1, channels, 2 * height, width + 3)]


@torch.no_grad()
def _difference(path: Path, network: nn.Module, shape: tuple[int, ...]) -> float:
    import onnxruntime

    source = 2 * torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 1
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    [image] = session.run(["image"], {"source": source.numpy()})
    return float((torch.from_numpy(image) - network(source)).abs().max())
