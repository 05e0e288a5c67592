"""Rebuild what a run left behind: the model from its checkpoint alone, the data from the run's config."""

import json
import zipfile
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters_context
from safetensors import SafetensorError, safe_open

from lightning_gen.config.building import Where, build
from lightning_gen.config.reading import read_config
from lightning_gen.config.trust import trusted_packages
from lightning_gen.contracts import ImageData, ImageModule
from lightning_gen.errors import UserError

__all__ = [
    "check_stored",
    "checkpoint_path",
    "export_header",
    "load_data",
    "load_fitting",
    "load_module",
    "load_run",
    "load_section",
    "read_checkpoint",
]

#: the header of an export says how the model is built; the weights are no part of it
_LONGEST_HEADER = 1 << 20
#: the package that a user trusts who lets a run fetch a set from wherever it says
_FETCHING = "datasets"


def load_run(folder: str | Path, checkpoint: str = "last") -> tuple[ImageModule, ImageData]:
    """The model, in eval mode with averaged weights, and the data it was trained on.

    Args:
        folder: of the run.
        checkpoint: "last" or "best".

    Raises:
        UserError: the folder is not a run, has no such checkpoint, or names a class that is not trusted.
    """
    path = checkpoint_path(folder, checkpoint)
    return load_module(path), load_data(Path(folder) / "config.yaml", of_run=True)


def checkpoint_path(folder: str | Path, checkpoint: str = "last") -> Path:
    """``folder/checkpoints/NAME.ckpt``, or ``folder/model.safetensors`` of an exported model; raises `UserError` where
    there is neither."""
    if (exported := Path(folder) / "model.safetensors").is_file():
        return exported
    path = Path(folder) / "checkpoints" / f"{checkpoint}.ckpt"
    if path.is_file():
        return path
    if not Path(folder).is_dir():
        raise UserError(f"run {folder} does not exist: want the folder of a finished run")
    inner = next((place.parents[1] for place in sorted(Path(folder).glob("*/checkpoints/last.ckpt"))), None)
    begun = checkpoint == "last" and (Path(folder) / "config.yaml").is_file()
    wanted = f"the folder of one run, such as {inner}" if inner else "the folder of a finished run"
    wanted = "one that has saved its first, every run.save_every images and at its end" if begun else wanted
    raise UserError(f"run {folder} has no checkpoints/{checkpoint}.ckpt{' yet' if begun else ''}: want {wanted}")


def load_data(config: str | Path, of_run: bool = False) -> ImageData:
    """The data set of the section ``data`` of a YAML file.

    Args:
        config: the file.
        of_run: whether it lies in a run folder, which may come from elsewhere: then a set is downloaded only into a
            folder below the present one.

    Raises:
        UserError: no such file, no data set in it, or a class that is not trusted.
    """
    section = read_config(config).get("data")
    if section is None:
        raise UserError(f"config {config} has no section data: want data: {{class_path: ..., init_args: ...}}")
    section = _of_run(section) if of_run else section
    return cast(ImageData, _built(ImageData, section, Where("data", f"config {config}")))


def _of_run(value: Any) -> Any:
    """A section of a run, which may come from elsewhere, without what would fetch: downloads to a far folder are not
    done, and sets of the hub or of an address are refused unless the user trusts `_FETCHING`."""
    if isinstance(value, list):
        return [_of_run(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _of_run(item) for key, item in value.items()}
    arguments = found.get("init_args")
    if not isinstance(arguments, dict):
        return found
    far = _far(found.get("class_path"), arguments)
    if far and _FETCHING not in trusted_packages():
        raise UserError(f"{far} that a run names: want --trust {_FETCHING} to fetch it, or --data CONFIG")
    root = Path(str(arguments.get("root", "data")))
    near = not root.is_absolute() and not {"..", "~"} & set(root.parts)
    return found if near or not arguments.get("download") else {**found, "init_args": {**arguments, "download": False}}


def _far(class_path: Any, arguments: dict[str, Any]) -> str | None:
    """What a set would be fetched from, in words; None where it lies on this machine."""
    name = str(class_path).rpartition(".")[2]  # a class may be named by each module that imports it
    path, root = str(arguments.get("path")), str(arguments.get("root"))
    if name == "HubSet" and not Path(path).is_dir():
        return f"data.path is {path[:80]}, a set of the hub"
    if name == "ShardedImages" and "://" in root:
        return f"data.root is {root[:80]}, an address"
    return None


def load_fitting(run: Path, module: ImageModule, config: Path | None = None) -> ImageData:
    """The data set of the run that `module` is of, or of another YAML file in its place.

    Raises:
        UserError: it has other images than the module takes.
    """
    data = load_data(config) if config else load_data(run / "config.yaml", of_run=True)
    if not data.spec.fits(module.spec):
        raise UserError(f"data {data.name} is {data.spec}: {type(module).__name__} of run {run} wants {module.spec}")
    return data


def load_section(
    config: str | Path, section: str, kind: type, changes: dict[str, Any], over: str | Path | None = None
) -> Any:
    """The object of class `kind` that the section of a run's config describes, with some arguments changed; all its
    defaults where there is no such section. Arguments of this section of the YAML `over` go before those of the run."""
    content = _section(config, section) or {}
    where = Where(section, f"config {config}")
    if over is not None:
        where = Where(section, f"config {over} over that of the run")
        if not (own := _section(over, section)):
            raise UserError(f"config {over} has no section {section}: want one with the arguments to be changed")
        content = {**content, **own}
    return _built(kind, {**content, **changes}, where)


def _section(config: str | Path, section: str) -> dict[str, Any] | None:
    content = read_config(config).get(section)
    if content is not None and not isinstance(content, dict):
        raise Where(section, f"config {config}").wrong(content, "its arguments")
    return content


def _built(kind: type, value: Any, where: Where) -> Any:
    """Whatever a constructor says of the values of a file, in one line."""
    try:
        return build(kind, value, where)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{where} does not fit: {_why(error)}; want what this version wrote") from error


def _why(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}, {words[:160]}" if words else type(error).__name__


def read_checkpoint(path: str | Path, **options: Any) -> dict[str, Any]:
    """The values of a checkpoint, tensors and plain values alone, on the CPU.

    Args:
        path: of the file.
        options: of `torch.load`, such as ``mmap``.

    Raises:
        UserError: no such file, or not one that `lightning-gen fit` wrote.
    """
    if not Path(path).is_file():
        raise UserError(f"checkpoint {path} does not exist")
    try:
        check_stored(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, **options)
        whole = isinstance(checkpoint["state_dict"], dict) and isinstance(checkpoint["hyper_parameters"], dict)
        whole = whole and "_class_path" in checkpoint["hyper_parameters"]
    except Exception as error:
        raise UserError(f"checkpoint {path} cannot be read: want one that lightning-gen fit wrote") from error
    if not whole or not isinstance(checkpoint.get("images_seen"), int):
        raise UserError(f"checkpoint {path} says not how its model is built: want one that lightning-gen fit wrote")
    return checkpoint


def check_stored(path: str | Path) -> None:
    """Raise `ValueError` where a checkpoint is compressed: a small file could fill all memory; `torch.save` compresses
    none."""
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("a compressed checkpoint")


def load_module(path: str | Path, ema: bool = True) -> ImageModule:
    """Rebuild a model from its checkpoint alone, on the CPU, in eval mode.

    Args:
        path: a checkpoint that `lightning-gen fit` wrote, or what `lightning-gen export` made of it.
        ema: take the moving average of the weights where the checkpoint has one; an export has nothing else.

    Raises:
        UserError: no such file, not a checkpoint, one that does not say how its model is built, or that names a class
            that is not trusted.
    """
    if Path(path).suffix == ".safetensors":
        return _load_exported(path)
    checkpoint = read_checkpoint(path)
    model = _model(checkpoint["hyper_parameters"], f"checkpoint {path}")
    try:
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        if ema and "ema" in checkpoint:
            model.ema_network.load_state_dict(checkpoint["ema"], strict=False)
    except Exception as error:
        raise UserError(f"checkpoint {path} does not fit its model: {_why(error)}; want one of this version") from error
    return model.eval()


def _model(hyper: dict[str, Any], source: str) -> ImageModule:
    """The model that the values of a checkpoint describe, without its weights."""
    arguments = {name: value for name, value in hyper.items() if name not in ("_class_path", "_instantiator")}
    section = {"class_path": hyper["_class_path"], "init_args": arguments}
    # It keeps the values as they are, so that it can be saved and rebuilt once more.
    with _given_hyperparameters_context(hparams=hyper, instantiator="lightning.pytorch.cli.instantiate_module"):
        return cast(ImageModule, _built(ImageModule, section, Where("model", source)))


def export_header(path: str | Path) -> dict[str, str]:
    """What the header of an exported file says, from the checkpoint at `path`: how the model is built, and what it has
    seen. The weights that belong to it are the state of `ImageModule.ema_network`."""
    checkpoint = read_checkpoint(path, mmap=True)
    about = {"model": checkpoint["hyper_parameters"], "images_seen": checkpoint["images_seen"]}
    return {"format": "pt", "lightning_gen": json.dumps(about)}


def _load_exported(path: str | Path) -> ImageModule:
    if not Path(path).is_file():
        raise UserError(f"file {path} does not exist")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata()["lightning_gen"]
            about = json.loads(header) if len(header) <= _LONGEST_HEADER else {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        hyper, images_seen = dict(about["model"]), about["images_seen"]
        if not isinstance(hyper["_class_path"], str) or not isinstance(images_seen, int):
            raise ValueError("no class")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"file {path} cannot be read: want one that lightning-gen export wrote") from error
    model = _model(hyper, f"file {path}")
    try:
        model.ema_network.load_state_dict(tensors)
    except Exception as error:
        raise UserError(f"file {path} does not fit its model: {_why(error)}; want one of this version") from error
    model.images_seen = images_seen
    return model.eval()
