"""What is wrong with a configuration that the library refuses, found by reading it once more against the type hints."""

from typing import Any

from lightning_gen.config.building import Where, plan
from lightning_gen.config.reading import read_config
from lightning_gen.config.trust import is_open
from lightning_gen.errors import UserError
from lightning_gen.reading import parse_yaml

__all__ = ["diagnosis"]


def diagnosis(arguments: list[str], sections: dict[str, type]) -> str | None:
    """The first thing that is wrong, in one line; None where nothing is found.

    Args:
        arguments: of the command line.
        sections: name -> the class that the section describes.
    """
    try:
        content = _together(arguments)
        for name, kind in sections.items():
            if name in content:
                plan(kind, content[name], Where(name, open_world=is_open(), complete=False))
    except UserError as error:
        return str(error)
    return None


def _together(arguments: list[str]) -> dict[str, Any]:
    """Files and arguments as one nested mapping; arguments that it cannot place are left to the library."""
    content: dict[str, Any] = {}
    words: list[tuple[str, str]] = []
    rest = list(arguments)
    while rest:
        key, sign, value = rest.pop(0).partition("=")
        if not sign and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        if key in ("-c", "--config"):
            _merge(content, read_config(value))
        elif key.startswith("--"):
            words.append((key[2:], value))
    for key, value in words:
        _set(content, key.removesuffix("+").split("."), parse_yaml(value, f"--{key}"))
    return content


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        mine = into.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            if "class_path" in value and value["class_path"] != mine.get("class_path"):
                mine.clear()  # the arguments of another class
            _merge(mine, value)
        else:
            into[key] = value


def _arguments(content: dict[str, Any], part: str) -> dict[str, Any]:
    """Where an argument of a class stands that is named without ``init_args``."""
    if "class_path" not in content or part in ("class_path", "init_args", "dict_kwargs"):
        return content
    inner = content.get("init_args")
    content["init_args"] = inner = inner if isinstance(inner, dict) else {}
    return inner


def _set(content: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        content = _arguments(content, part)
        inner = content.get(part)
        if isinstance(inner, str):
            inner = {"class_path": inner}
        content[part] = content = inner if isinstance(inner, dict) else {}
    content = _arguments(content, path[-1])
    if path[-1] == "class_path" and content.get("class_path") not in (None, value):
        content.clear()
    content[path[-1]] = value
