"""Begin a run with the weights of another one."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lightning_gen.config.loading import checkpoint_path
from lightning_gen.contracts import ImageModule
from lightning_gen.errors import UserError

__all__ = ["start_from"]


def start_from(source: str, module: ImageModule) -> dict[str, Any]:
    """Give `module` the weights of a trained model, by name; weights that it alone has stay fresh.

    Those of its `ImageModule.ema_network` are averaged ones where the source has them, as `lightning-gen sample` uses.
    Nothing but tensors is read from the source, so it need not be of a class that can be loaded here.

    Args:
        source: run folder, checkpoint file, or folder or file of an exported model.
        module: as the configuration builds it.

    Returns:
        What run.json records: the source's path and SHA-256, how many weights were taken, and the names of fresh ones.

    Raises:
        UserError: there is no such model, or a weight of the same name has another shape, or no name agrees.
    """
    path = Path(source) if Path(source).is_file() else checkpoint_path(source)
    weights, wanted = _weights(path, module), module.state_dict()
    for name in sorted(weights.keys() & wanted.keys()):
        if not name.endswith("_extra_state") and weights[name].shape != wanted[name].shape:
            shapes = f"{tuple(weights[name].shape)} for {name}, the model wants {tuple(wanted[name].shape)}"
            raise UserError(f"run.start_from is {source}: it has {shapes}")
    taken = {name: value for name, value in weights.items() if name in wanted}
    if not taken:
        raise UserError(f"run.start_from is {source}: none of its weights has the name of one of the model's")
    module.load_state_dict(taken, strict=False)
    fresh, unused = sorted(wanted.keys() - taken.keys()), sorted(weights.keys() - taken.keys())
    return {
        "path": str(path),
        "sha256": _sha256(path),
        "taken": len(taken),
        "fresh": fresh,
        "unused": unused,
    }


def _weights(path: Path, module: ImageModule) -> dict[str, Tensor]:
    """The weights in a file, by their names in `module`."""
    prefix = next((name for name, part in module.named_modules() if part is module.ema_network), "")
    try:
        if path.suffix == ".safetensors":
            return _prefixed(load_file(path), prefix)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return content["state_dict"] | _prefixed(content.get("ema", {}), prefix)
    except (OSError, SafetensorError) as error:
        raise UserError(f"run.start_from is {path}, which cannot be read: {error}") from error
    except Exception as error:  # of a damaged file torch raises whatever its readers come up with
        raise UserError(f"run.start_from is {path}: want a checkpoint that lightning-gen fit wrote") from error


def _prefixed(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.{name}" if prefix else name: value for name, value in weights.items()}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
