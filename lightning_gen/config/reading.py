"""Configurations from anywhere, read within the bounds of `lightning_gen.reading`, their references resolved.

What a file refers to by ``${a.b.c}`` is another of its values, and by ``${oc.env:NAME}`` an environment variable. A
file that refers to anything else, or grows without end, is refused in one line.
"""

import os
import re
from pathlib import Path
from typing import Any

from lightning_gen.errors import UserError
from lightning_gen.reading import parse_yaml, read_text

__all__ = ["SECRET", "FromEnvironment", "read_config"]

#: where a value comes from the environment; such text is written as it stands, never resolved
SECRET = re.compile(r"\$\{\s*oc\.env\s*:")
_REFERENCE = re.compile(r"\$\{\s*([^${}]*?)\s*\}")
_ENVIRONMENT = re.compile(r"oc\.env\s*:\s*(\w+)\s*(?:,(.*))?$")
_KEY = re.compile(r"[\w.\-/]+$")


class FromEnvironment(str):
    """A text out of an environment variable, which stands for a number where one is wanted."""


def read_config(path: str | Path) -> dict[str, Any]:
    """A configuration file as nested values, references resolved; empty where it holds no mapping.

    Raises:
        UserError: see `read_text` and `parse_yaml`; or it refers to what is not there.
    """
    text = read_text(path, "config")
    content = parse_yaml(text, f"config {path}")
    if not isinstance(content, dict):
        return {}
    content = _with_text_keys(content)
    return _resolved(content, content, f"config {path}") if "${" in text else content


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


def _resolved(value: Any, root: dict[str, Any], what: str) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, root, what) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, root, what) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    result = _reference(value, root, what)
    if isinstance(result, str) and "://" in result:  # a file from elsewhere could send a secret to its author
        raise UserError(f"{what} makes an address of {value[:80]}: want the address written out")
    return result


def _reference(text: str, root: dict[str, Any], what: str, depth: int = 0) -> Any:
    """A value with each ``${...}`` in it replaced; alone, it keeps the type of what it refers to."""
    whole = _REFERENCE.fullmatch(text)
    if depth > 10 or len(text) > 10_000:
        raise UserError(f"{what} has references without end: want each to a plain value")
    if whole:
        return _looked_up(whole[1], root, what, depth)
    found = _REFERENCE.sub(lambda match: str(_looked_up(match[1], root, what, depth)), text)
    if "${" in found:
        raise UserError(f"{what} has {text[:80]}: want ${{a.b.c}} or ${{oc.env:NAME}}")
    return found


def _looked_up(key: str, root: dict[str, Any], what: str, depth: int) -> Any:
    if environment := _ENVIRONMENT.match(key):
        text = os.environ.get(environment[1], environment[2])
        if text is None:
            raise UserError(f"{what} wants the environment variable {environment[1]}, which is not set")
        return FromEnvironment(text)
    value: Any = root
    for part in key.split(".") if _KEY.match(key) else [key]:
        if not isinstance(value, dict) or part not in value:
            raise UserError(f"{what} refers to ${{{key[:80]}}}, which is not in it: want a value of the file")
        value = value[part]
    if isinstance(value, dict | list):
        raise UserError(f"{what} refers to ${{{key[:80]}}}, which is no plain value: want a number or a text")
    return _reference(value, root, what, depth + 1) if isinstance(value, str) and "${" in value else value
