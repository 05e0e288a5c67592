"""LightningCLI as this project uses it: the sections ``model``, ``data``, ``trainer`` and those that a subclass adds.

What Lightning and its configuration library do by themselves is left to them. Added are: arguments win over files
wherever they stand, classes alone are built, an error of ours passes as it is, and a value from the environment is
written as the reference it was, never as its value.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from itertools import pairwise
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from torch.optim import Optimizer

from lightning_gen.config.building import Piece, Where, make, plan
from lightning_gen.config.diagnosis import diagnosis
from lightning_gen.config.limits import endless_path
from lightning_gen.config.messages import plain_line
from lightning_gen.config.reading import SECRET
from lightning_gen.config.trust import is_open, only_trusted
from lightning_gen.contracts import ImageData, ImageModule
from lightning_gen.errors import SEED_LIMIT, UserError
from lightning_gen.reading import parse_yaml, read_text

__all__ = ["CommandLine", "plain_errors"]

#: whether the library is building, which takes an error of a constructor for one of several ways to read a value
_building: ContextVar[bool] = ContextVar("building", default=False)


#: what the library raises for values that no one has thought of
_ODD = (ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError)


class _Passing(BaseException):
    """An error on its way through the configuration library, which catches every `Exception`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _passing(instantiator: Callable[..., Any]) -> Callable[..., Any]:
    """The same instantiator, whose errors pass through the library."""

    @wraps(instantiator)
    def build(kind: type, *args: Any, **kwargs: Any) -> Any:
        try:
            return instantiator(kind, *args, **kwargs)
        except Exception as error:
            if not _building.get():  # a factory that is called in training
                raise
            raise _Passing(_explained(kind, error)) from error

    return build


def _explained(kind: type, error: Exception) -> Exception:
    """The error of a constructor: ours as it is, one of another's class as it is, with its traceback."""
    known = kind.__module__.partition(".")[0] in ("lightning_gen", "torch")
    if isinstance(error, UserError) or not known:
        return error
    why = " ".join(str(error).split())[:200]
    return UserError(f"{kind.__name__} cannot be built, {type(error).__name__}: {why}; want other arguments")


def _built(kind: type, *args: Any, **kwargs: Any) -> Any:
    return kind(*args, **kwargs)


@contextmanager
def plain_errors(arguments: list[str], sections: dict[str, type]) -> Iterator[None]:
    """Turn every error of a configuration into a `UserError` of one line.

    Args:
        arguments: of the command line.
        sections: name -> the class that the section describes.
    """
    token = _building.set(True)
    try:
        yield
    except _Passing as passing:
        raise passing.error from passing.error.__cause__
    except UserError:
        raise
    except yaml.representer.RepresenterError as error:  # of a default that is an object
        value = repr(error.args[-1])[:80]
        raise UserError(
            f"configuration holds {value}, which no file can: want this argument written as text"
        ) from error
    except (argparse.ArgumentError, argparse.ArgumentTypeError, OmegaConfBaseException, *_ODD) as error:
        found = diagnosis(arguments, sections)
        raise UserError(found or f"configuration: {plain_line(str(error))}") from error
    finally:
        _building.reset(token)


class _Parser(LightningArgumentParser):
    """The parser of the library, which lets errors pass and remembers references to the environment."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: path of a value -> its text, such as ``${oc.env:DATA}``
        self.references: dict[tuple[str | int, ...], str] = {}

    def add_instantiator(
        self, instantiator: Callable[..., Any], class_type: type, subclasses: bool = True, prepend: bool = False
    ) -> None:
        super().add_instantiator(_passing(instantiator), class_type, subclasses=subclasses, prepend=prepend)

    def _parse_common(self, cfg: Namespace, *args: Any, **kwargs: Any) -> Namespace:
        # Here all files and arguments are one, and the library is about to resolve their references.
        self.references |= dict(_references(cfg.as_dict()))
        return super()._parse_common(cfg, *args, **kwargs)


def _references(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _references(item, (*path, key))
    elif isinstance(value, str) and SECRET.search(value):
        yield path, value


class CommandLine(LightningCLI):
    """The one construction path: arguments -> ``.model``, ``.datamodule``, ``.trainer``, ``.config``, ``.config_init``.

    A subclass may override Lightning's own hooks, such as ``instantiate_trainer``.

    Args:
        arguments: of the command line.
        sections: further groups of arguments: name -> the class whose arguments they are.
        trainer_defaults: arguments of `Trainer` that differ from its own.

    Raises:
        UserError: see `plain_errors`, which `construct` puts around it.
    """

    def __init__(self, arguments: list[str], sections: Mapping[str, type], trainer_defaults: Mapping[str, Any]) -> None:
        self.sections = sections
        super().__init__(
            ImageModule,
            ImageData,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            trainer_defaults=dict(trainer_defaults),
            seed_everything_default=0,
            parser_class=_Parser,
            parser_kwargs={"exit_on_error": False, "parser_mode": "omegaconf+", "allow_abbrev": False},
            auto_configure_optimizers=False,
            args=arguments,
            run=False,
        )

    @classmethod
    def construct(
        cls, arguments: list[str], sections: Mapping[str, type], trainer_defaults: Mapping[str, Any]
    ) -> "CommandLine":
        """The same, with every error as one plain line."""
        with plain_errors(arguments, _kinds(sections)):
            return cls(arguments, sections, trainer_defaults)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the sections; the spec of the data becomes that of the model."""
        parser.link_arguments("data.spec", "model.init_args.spec", apply_on="instantiate")
        for name, kind in self.sections.items():
            parser.add_class_arguments(kind, name)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, files first; raises `UserError` for what is no class or not wanted where it stands."""
        words = _files_first(args)
        _check_sections(words, self.sections)
        with only_trusted():
            self.config = parser.parse_args(words)
        content = yaml.safe_load(parser.dump(self.config, skip_none=False, skip_validation=True))
        _check_classes(content, "")
        _check_seed(content.get("seed_everything"))
        for name, kind in _kinds(self.sections).items():
            if name in content:
                _try_optimizers(plan(kind, content[name], Where(name, open_world=is_open(), complete=False)))
        for path, text in parser.references.items():  # type: ignore[attr-defined]
            if path[0] == "model":
                name = ".".join(map(str, path))
                raise UserError(f"{name} is {text}: want the value itself, which every checkpoint holds")

    def before_instantiate_classes(self) -> None:
        """Let the errors of every constructor pass."""
        self.parser.add_instantiator(_built, object)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer; raises `UserError` where this machine cannot have it."""
        try:
            return super().instantiate_trainer(**kwargs)
        except UserError:
            raise
        except Exception as error:  # an accelerator that is not there, a strategy that does not exist, and the like
            why = " ".join(str(error).split())[:250]
            raise UserError(f"trainer: {why}; want a trainer that this machine has") from error

    def written(self) -> str:
        """The configuration as YAML, to be written: what came from the environment stays a reference to it."""
        text = self.parser.dump(self.config, skip_none=False)
        references = self.parser.references  # type: ignore[attr-defined]
        if not references:
            return str(text)
        content = yaml.safe_load(text)
        for path, reference in references.items():
            _put(content, path, reference)
        return yaml.safe_dump(content, sort_keys=False)


def _check_classes(content: Any, name: str) -> None:
    """Raise for arguments of a class without the class, which the library takes for a dict of them."""
    if isinstance(content, dict):
        if "init_args" in content and "class_path" not in content:
            raise UserError(f"{name} has init_args and no class_path: want both beside each other")
        for key, value in content.items():
            _check_classes(value, f"{name}.{key}".lstrip("."))


def _try_optimizers(planned: Any) -> None:
    """Raise for an optimizer that would fail when training begins, such as one with a negative learning rate."""
    if isinstance(planned, Piece) and planned.factory and issubclass(planned.kind, Optimizer):
        try:
            weight = nn.Parameter(torch.zeros(1, 1))
            weight.grad = torch.ones(1, 1)
            make(planned)([weight]).step()
        except Exception as error:
            why = " ".join(str(error).split())[:200]
            raise UserError(f"{planned.argument} cannot be built, {why}: want other arguments") from error
        return
    parts = planned.arguments if isinstance(planned, Piece) else planned
    for value in parts.values() if isinstance(parts, dict) else parts if isinstance(parts, list) else ():
        _try_optimizers(value)


def _check_sections(words: list[str], sections: Mapping[str, type]) -> None:
    """Raise for a file with a section that is no mapping, which the library would pass over without a word."""
    files = [word.removeprefix("--config=") for word in words if word.startswith("--config=")]
    files += [file for word, file in pairwise(words) if word in ("-c", "--config")]
    for file in files:
        content = parse_yaml(read_text(file, "config"), f"config {file}")
        if not isinstance(content, dict):
            raise UserError(f"config {file} holds {type(content).__name__}: want sections, such as model and data")
        if path := endless_path(content):
            raise UserError(f"config {file}: {path} is longer than any path of a class: want one such as package.Class")
        for name in content.keys() & {"trainer", *sections}:
            if not isinstance(content[name], dict):
                raise Where(str(name), f"config {file}").wrong(content[name], "its arguments")


def _check_seed(seed: Any) -> None:
    if isinstance(seed, int) and not 0 <= seed <= SEED_LIMIT:
        raise UserError(f"seed_everything is {seed}: want 0 to {SEED_LIMIT}")


def _kinds(sections: Mapping[str, type]) -> dict[str, type]:
    return {"model": ImageModule, "data": ImageData, "trainer": Trainer, **sections}


def _put(content: Any, path: tuple[str | int, ...], value: str) -> None:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


def _files_first(words: Any) -> list[str]:
    """Arguments win over files, wherever they stand: each ``-c FILE`` goes to the front, in order.

    >>> _files_first(["--run.name", "x", "-c", "a.yaml", "--config=b.yaml"])
    ['-c', 'a.yaml', '--config=b.yaml', '--run.name', 'x']
    """
    files: list[str] = []
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("-c", "--config"):
            files += [word, *rest[:1]]
            rest = rest[1:]
        else:
            (files if word.startswith("--config=") else others).append(word)
    return files + others
