"""YAML from anywhere: bounded in size, depth and expansion, with references between its values resolved.

What a file refers to by ``${a.b.c}`` is another of its values, and by ``${oc.env:NAME}`` an environment variable. A
file that refers to anything else, or grows without end, is refused in one line.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from lightning_gen.errors import UserError

__all__ = ["SECRET", "FromEnvironment", "parse_yaml", "read_config", "read_text"]

#: where a value comes from the environment; such text is written as it stands, never resolved
SECRET = re.compile(r"\$\{\s*oc\.env\s*:")
#: bytes; the longest of ours has some 10,000
_LARGEST = 1 << 20
_MOST = 100_000
_DEEPEST = 200
_REFERENCE = re.compile(r"\$\{\s*([^${}]*?)\s*\}")
_ENVIRONMENT = re.compile(r"oc\.env\s*:\s*(\w+)\s*(?:,(.*))?$")
_KEY = re.compile(r"[\w.\-/]+$")


class FromEnvironment(str):
    """A text out of an environment variable, which stands for a number where one is wanted."""


def read_text(path: str | Path, what: str = "file", largest: int = _LARGEST) -> str:
    """The text of an ordinary file.

    Args:
        path: of the file.
        what: it is, for the messages.
        largest: number of bytes.

    Raises:
        UserError: there is none, it is no ordinary file, too large, or no text.
    """
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise UserError(f"{what} {path} is no ordinary file: want a file")
        if about.st_size > largest:
            raise UserError(f"{what} {path} has {about.st_size} bytes: want at most {largest}")
        return Path(path).read_text(encoding="utf-8")
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist: want a file") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text"
        raise UserError(f"{what} {path} cannot be read: {why}") from error


def parse_yaml(text: str, what: str) -> Any:
    """The values of a YAML text.

    Args:
        text: of the file.
        what: and where the text is, for the message.

    Raises:
        UserError: it is no YAML, or its aliases make it deeper or larger than any honest file.
    """
    try:
        content = yaml.load(text, yaml.CSafeLoader)  # the safe loader, in C
        _count(content, 0, [0])
    except RecursionError:
        raise UserError(f"{what} is nested without end: want plain YAML") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise UserError(f"{what} cannot be read: {' '.join(str(error).split())[:200]}") from error
    return content


def _count(value: Any, depth: int, seen: list[int]) -> None:
    """Raise where `value`, with its aliases written out, is too deep or too large."""
    seen[0] += 1
    if depth > _DEEPEST or seen[0] > _MOST:
        raise RecursionError
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _count(item, depth + 1, seen)


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
