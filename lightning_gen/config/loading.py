"""Rebuild what a run left behind: the model from its checkpoint alone, the data from the run's config."""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError, safe_open
from yaml import YAMLError

from lightning_gen.config.messages import plain_line
from lightning_gen.contracts import ImageData, ImageModule
from lightning_gen.errors import UserError

__all__ = ["checkpoint_path", "export_header", "load_data", "load_fitting", "load_module", "load_run", "load_section"]


def load_run(folder: str | Path, checkpoint: str = "last") -> tuple[ImageModule, ImageData]:
    """The model, in eval mode with averaged weights, and the data it was trained on.

    Args:
        folder: of the run.
        checkpoint: "last" or "best".

    Raises:
        UserError: the folder is not a run, or has no such checkpoint.
    """
    path = checkpoint_path(folder, checkpoint)
    return load_module(path), load_data(Path(folder) / "config.yaml")


def checkpoint_path(folder: str | Path, checkpoint: str = "last") -> Path:
    """``folder/checkpoints/NAME.ckpt``, or ``folder/model.safetensors`` of an exported model; raises `UserError` where
    there is neither."""
    if (exported := Path(folder) / "model.safetensors").is_file():
        return exported
    path = Path(folder) / "checkpoints" / f"{checkpoint}.ckpt"
    if not path.is_file():
        raise UserError(f"run {folder} has no checkpoints/{checkpoint}.ckpt: want the folder of a finished run")
    return path


def load_data(config: str | Path) -> ImageData:
    """The data set of the section ``data`` of a YAML file.

    Raises:
        UserError: no such file, or no data set in it.
    """
    from jsonargparse import ArgumentParser

    section = _content(config).get("data")
    if section is None:
        raise UserError(f"config {config} has no section data: want data: {{class_path: ..., init_args: ...}}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(ImageData, "data")
    return _instantiate(parser, {"data": section}, config).data


def load_fitting(run: Path, module: ImageModule, config: Path | None = None) -> ImageData:
    """The data set of the run that `module` is of, or of another YAML file in its place.

    Raises:
        UserError: it has other images than the module takes.
    """
    data = load_data(config or run / "config.yaml")
    if not data.spec.fits(module.spec):
        raise UserError(f"data {data.name} is {data.spec}: {type(module).__name__} of run {run} wants {module.spec}")
    return data


def load_section(config: str | Path, section: str, kind: type, changes: dict[str, Any]) -> Any:
    """The object of class `kind` that the section of a run's config describes, with some arguments changed; all its
    defaults where there is no such section."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, section)
    return _instantiate(parser, {section: {**_content(config).get(section, {}), **changes}}, config)[section]


def _content(config: str | Path) -> dict[str, Any]:
    if not Path(config).is_file():
        raise UserError(f"config {config} does not exist")
    try:
        content = OmegaConf.to_container(OmegaConf.load(config), resolve=True)
    except (YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"config {config} cannot be read: {' '.join(str(error).split())}") from error
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}


def _instantiate(parser: Any, content: dict[str, Any], config: str | Path) -> Any:
    try:
        return parser.instantiate_classes(parser.parse_object(content))
    except UserError:
        raise
    except (argparse.ArgumentError, argparse.ArgumentTypeError, ValueError, TypeError) as error:
        raise UserError(f"config {config}: {plain_line(str(error))}") from error


def load_module(path: str | Path, ema: bool = True) -> ImageModule:
    """Rebuild a model from its checkpoint alone, on the CPU, in eval mode.

    Args:
        path: a checkpoint that `lightning-gen fit` wrote, or what `lightning-gen export` made of it.
        ema: take the moving average of the weights where the checkpoint has one; an export has nothing else.

    Raises:
        UserError: no such file, not a checkpoint, or one that does not say how its model is built.
    """
    if not Path(path).is_file():
        raise UserError(f"checkpoint {path} does not exist")
    if Path(path).suffix == ".safetensors":
        return _load_exported(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        class_path = checkpoint["hyper_parameters"]["_class_path"]
    except Exception as error:
        raise UserError(f"checkpoint {path} cannot be read: want one that lightning-gen fit wrote") from error
    _check_trusted(checkpoint["hyper_parameters"])
    module = getattr(importlib.import_module(class_path.rpartition(".")[0]), class_path.rpartition(".")[2])
    try:
        model = module.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except (RuntimeError, TypeError, AttributeError, ValueError, argparse.ArgumentError) as error:
        why = " ".join(str(error).split())[:160]
        raise UserError(f"checkpoint {path} does not fit {class_path}: {why}; want one of this version") from error
    if ema and "ema" in checkpoint:
        model.ema_network.load_state_dict(checkpoint["ema"], strict=False)
    return model.eval()


def export_header(path: str | Path) -> dict[str, str]:
    """What the header of an exported file says, from the checkpoint at `path`: how the model is built, and what it has
    seen. The weights that belong to it are the state of `ImageModule.ema_network`."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    about = {"model": checkpoint["hyper_parameters"], "images_seen": checkpoint["images_seen"]}
    return {"format": "pt", "lightning_gen": json.dumps(about)}


def _load_exported(path: str | Path) -> ImageModule:
    from lightning.pytorch.cli import instantiate_module

    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["lightning_gen"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        hyper = {key: value for key, value in about["model"].items() if key != "_instantiator"}
        class_path = hyper["_class_path"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"file {path} cannot be read: want one that lightning-gen export wrote") from error
    _check_trusted(hyper)
    try:
        model = instantiate_module(ImageModule, hyper)
        model.ema_network.load_state_dict(tensors)
    except (argparse.ArgumentError, RuntimeError, TypeError, AttributeError, ValueError) as error:
        why = " ".join(str(error).split())[:160]
        raise UserError(f"file {path} does not fit {class_path}: {why}; want one of this version") from error
    model.images_seen = about["images_seen"]
    return model.eval()


def _check_trusted(value: Any) -> None:
    """Refuse a checkpoint that names classes outside this project and torch: building it would run foreign code."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("class_path", "_class_path") and str(item).split(".")[0] not in ("lightning_gen", "torch"):
                raise UserError(f"checkpoint names the class {item}: want lightning_gen or torch classes only")
            _check_trusted(item)
    elif isinstance(value, list):
        for item in value:
            _check_trusted(item)
