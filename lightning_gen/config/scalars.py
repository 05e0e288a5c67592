"""Plain values beside the types that arguments want: numbers, truth values, texts, paths."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_gen.config.reading import FromEnvironment

__all__ = ["SCALARS", "Misfit", "one_of", "scalar"]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


class Misfit(Exception):  # noqa: N818
    """A value does not fit one of several hints; `wanted` says what would."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted


def scalar(kind: Any, value: Any) -> Any:
    """`value` as one of the types of `SCALARS`.

    Raises:
        Misfit: it is of another.
    """
    return SCALARS[kind](_number(value) if isinstance(value, FromEnvironment) and kind is not str else value)


def one_of(choices: tuple[Any, ...], value: Any) -> Any:
    """`value`, which is one of the choices; raises `Misfit`."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise Misfit(f"one of {', '.join(map(str, choices))}")
    return value


def _number(text: str) -> Any:
    """The number or truth value that a text stands for, itself where it is none."""
    try:
        return int(text) if text.strip("-").isdecimal() else {"true": True, "false": False}.get(text.lower(), text)
    except ValueError:
        return text


def _none(value: Any) -> None:
    if value is not None:
        raise Misfit("nothing")


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Misfit("true or false")
    return value


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Misfit("a whole number")
    if abs(value) >= 2**63:
        raise Misfit("a whole number below 2^63")
    return value


def _float(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.match(value):  # YAML reads 1e-4 as text
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Misfit("a number")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Misfit("a number that is finite")
    return value


def _str(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise Misfit("a text")
    return value


def _path(value: Any) -> Path:
    if not isinstance(value, str) or "\0" in value:
        raise Misfit("a path")
    return Path(value)


SCALARS: dict[Any, Callable[[Any], Any]] = {
    None: _none,
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    Path: _path,
}
