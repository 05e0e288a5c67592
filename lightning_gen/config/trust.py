"""Which classes a file may name. What comes out of a file is data: a name in it becomes a class here, and nowhere else.

A class is imported where three things hold, and the first is checked before anything is imported:

    trust       the name lies in lightning_gen, in the reviewed list of torch classes, or in a package the user trusts
    a class     never a function, a module or an instance, and defined in a trusted package, not only visible there
    contract    a subclass of what the argument wants (`lightning_gen.config.building`)

A user trusts a package by ``--trust PACKAGE``, by the environment variable `VARIABLE`, or by installing it: a package
that registers an entry point of the group `GROUP` is trusted.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import metadata
from typing import Any

from lightning_gen.errors import UserError

__all__ = ["GROUP", "VARIABLE", "find_class", "grant", "is_open", "only_trusted", "trusted_packages", "trusting"]

#: entry points of this group name packages whose classes files may name
GROUP = "lightning_gen"
#: packages that are trusted, between commas; where it is set, even to nothing, `fit` keeps to it too
VARIABLE = "LIGHTNING_GEN_TRUST"

#: the rooms of lightning_gen that hold classes for configurations
_ROOMS = {"bijections", "contracts", "data", "distributions", "evaluation", "images", "inference"}
_ROOMS |= {"losses", "metrics", "models", "nets", "schedules"}
#: single classes of other rooms, which a training takes
_SINGLE = frozenset(
    {
        "lightning_gen.runs.wandb.WandbMirror",
        "lightning_gen.training.sharding.FullySharded",
    }
)
_OPTIMIZERS = "Adam AdamW Adamax NAdam RAdam SGD ASGD RMSprop Rprop Adagrad Adadelta Adafactor Muon"
_ACTIVATIONS = (
    "ReLU ReLU6 LeakyReLU PReLU RReLU ELU CELU SELU GELU SiLU Mish Softplus Softsign Tanh Sigmoid Hardtanh Hardswish "
    "Hardsigmoid LogSigmoid Tanhshrink Identity"
)
_LAYERS = (
    "Linear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Embedding Dropout Dropout2d "
    "AlphaDropout BatchNorm1d BatchNorm2d GroupNorm LayerNorm RMSNorm InstanceNorm1d InstanceNorm2d AvgPool2d "
    "MaxPool2d AdaptiveAvgPool2d AdaptiveMaxPool2d Upsample UpsamplingNearest2d UpsamplingBilinear2d PixelShuffle "
    "PixelUnshuffle Flatten Unflatten ZeroPad2d ReflectionPad2d ReplicationPad2d"
)
#: reviewed: constructors that compute, and do not read, write, import or call what they are given
_TORCH = frozenset(
    [f"torch.optim.{name}" for name in _OPTIMIZERS.split()]
    + [f"torch.nn.{name}" for name in (_ACTIVATIONS + " " + _LAYERS).split()]
)
_LONGEST = 200

_granted: ContextVar[frozenset[str]] = ContextVar("granted", default=frozenset())


def grant(packages: Iterable[str]) -> None:
    """Trust these packages for the rest of this command.

    Raises:
        UserError: one of them is no name of a package.
    """
    _granted.set(_granted.get() | {_package(name) for name in packages})


@contextmanager
def trusting(packages: Iterable[str] = ()) -> Iterator[None]:
    """Trust these packages inside the block, and whatever `grant` adds there."""
    token = _granted.set(_granted.get())
    try:
        grant(packages)
        yield
    finally:
        _granted.reset(token)


def trusted_packages() -> frozenset[str]:
    """The packages that the user trusts, beside lightning_gen: granted, in `VARIABLE`, and by entry points."""
    named = os.environ.get(VARIABLE, "").replace(",", " ").split()
    return _granted.get() | {_package(name) for name in named} | _registered(tuple(sys.path))


@lru_cache(maxsize=4)
def _registered(places: tuple[str, ...]) -> frozenset[str]:
    """The packages of entry points; all that is installed in `places` is read for it, a twentieth of a second."""
    points = metadata.entry_points(group=GROUP)
    return frozenset(point.value.partition(":")[0].partition(".")[0] for point in points)


def is_open() -> bool:
    """Whether a configuration that the user gives to ``fit`` may name any class that can be imported, as long as the
    argument wants it. Where `VARIABLE` is set, it may not."""
    return VARIABLE not in os.environ


@contextmanager
def only_trusted() -> Iterator[None]:
    """Inside the block the configuration library imports nothing but what is trusted, unless `is_open`."""
    if is_open():
        yield
        return
    from jsonargparse import _common, set_parsing_settings

    before = dict(_common.parsing_settings)  # they hold for the whole process
    homes = [f"{kind.__module__}.{kind.__qualname__}" for kind in map(_torch_class, sorted(_TORCH))]
    rooms = [f"lightning_gen.{room}" for room in sorted(_ROOMS)]
    allowed = [*_TORCH, *homes, *_SINGLE, *rooms, *trusted_packages()]
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=allowed)
    try:
        yield
    finally:
        _common.parsing_settings.clear()
        _common.parsing_settings.update(before)


def _torch_class(path: str) -> Any:
    return vars(importlib.import_module(path.rpartition(".")[0]))[path.rpartition(".")[2]]


def find_class(path: object, where: str, open_world: bool = False) -> type:
    """The class that `path` names.

    Args:
        path: such as ``lightning_gen.models.vae.VAE``.
        where: the argument and the file that name it, for the messages.
        open_world: look into every package, trusted or not.

    Raises:
        UserError: it is no path of a class, names a class that is not trusted, or does not exist.
    """
    parts = _parts(path, where)
    if not open_world and not _is_trusted(str(path), trusted_packages()):
        raise UserError(_advice(str(path), where))
    module = ".".join(parts[:-1])
    try:
        found = vars(importlib.import_module(module)).get(parts[-1])
    except ImportError as error:
        raise UserError(f"{where} is {path}: {_missing(error, parts[0])}") from error
    except Exception as error:  # of a user's own module
        raise UserError(f"{where} is {path}: importing {module} fails, {type(error).__name__}: {error}") from error
    if not isinstance(found, type):
        raise UserError(f"{where} is {path}, which is no class of {module}: want the path of a class")
    home = f"{found.__module__}.{found.__qualname__}"
    if not open_world and str(path) not in _TORCH and not _is_trusted(home, trusted_packages()):
        raise UserError(_advice(home, where))
    return found


def _package(name: str) -> str:
    if not name.isidentifier():
        raise UserError(f"--trust is {name}: want the name of a package, such as mypackage")
    return name


def _parts(path: object, where: str) -> list[str]:
    parts = path.split(".") if isinstance(path, str) and len(path) <= _LONGEST else []
    if len(parts) < 2 or not all(part.isidentifier() and not part.startswith("__") for part in parts):
        shown = repr(path)[:80]
        raise UserError(f"{where} is {shown}: want the path of a class, such as package.module.Class")
    return parts


def _is_trusted(path: str, packages: frozenset[str]) -> bool:
    parts = path.split(".")
    if parts[0] in packages or path in _TORCH or path in _SINGLE:
        return True
    return parts[0] == "lightning_gen" and parts[1] in _ROOMS


def _advice(path: str, where: str) -> str:
    package = path.partition(".")[0]
    if package == "torch":
        return f"{where} is {path}, none of the torch classes that a file may name: want one such as torch.optim.Adam"
    if package == "lightning_gen":
        return f"{where} is {path}, none of the classes that a file may name: want one such as lightning_gen.nets..."
    return (
        f"{where} is {path}, of a package that is not trusted: want --trust {package} or {VARIABLE}={package} "
        "where you trust it"
    )


def _missing(error: ImportError, package: str) -> str:
    if package == "lightning_gen":
        return "there is no such module; want the path of a class that exists"
    why = " ".join(str(error).split())
    return f"{why}; want a class that can be imported, by an installed package or with its folder in PYTHONPATH"
