"""Nested configurations in plain words: arguments by the names that users write, and one plain line out of the
configuration library's report of a wrong one."""

import difflib
import importlib
import re
from typing import Any

from lightning_gen.config.signatures import parameters

__all__ = ["flat", "nearest", "plain_line"]

_CLASS = re.compile(r"(?:given class_path |class_path=)'([\w.]+)'")
#: the groups of arguments that are not classes chosen in YAML
_GROUPS = {
    "run": "lightning_gen.training.options.Run",
    "trainer": "lightning.pytorch.Trainer",
    "evaluation": "lightning_gen.evaluation.protocol.Evaluation",
}
_KEY = re.compile(r'Parser key "([\w.]+)"')


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings -> {"a.b.c": value}; an empty one is a value.

    >>> flat({"run": {"images": 64}, "data": {}})
    {'run.images': 64, 'data': {}}
    """
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    return {key: v for name, item in value.items() for key, v in flat(item, f"{prefix}.{name}".strip(".")).items()}


def plain_line(report: str) -> str:
    """The one line of `report` that a user can act on: the argument, what it got, what it wants.

    >>> plain_line('Parser key "run.images":\\n  Expected a <class \\'int\\'>. Got value: many')
    'run.images is many: want int'
    """
    where = ".init_args.".join(_KEY.findall(report))
    owners = _CLASS.findall(report)

    unknown = re.search(r"Option '([\w.]+)' is not accepted", report) or re.search(
        r"unrecognized arguments: --([\w.]+)", report
    )
    if unknown:
        return _unknown(where, unknown[1], owners[-1] if owners else "")
    stray = re.search(r"unrecognized arguments: (\S+)", report)
    if stray:
        return f"{_short(stray[1])} stands alone: want --key value"
    config = re.search(r'Parser key "config": (?:Path is not a file|File does not exist): \'([^\']*)\'', report)
    if config:
        return f"config is {_short(config[1])}: want a YAML file"
    absent = re.search(r"(?:module '([\w.]+)' has no attribute|No module named) '([\w.]+)'", report)
    if absent:
        return f"{where}.class_path is {'.'.join(filter(None, absent.groups()))}: want the path of a class that exists"
    path = re.search(r"Expected a dot import path string: (\S+)\s+- Expected a <class 'NoneType'>", report)
    if path:
        return f"{where}.class_path is {_short(path[1])}: want the path of a class, such as package.module.Class"
    wrong = re.search(r"Expected an? <class '([\w.]+)'>\. Got value: ([^\n]*)", report) or re.search(
        r"Expected an? <class '([\w.]+)'>[^$]*?Given value: ((?!NestedArg|\{)[^\n]*?)(?:\. Got value.*)?$", report, re.M
    )
    if wrong and wrong[1] != "NoneType":
        return f"{where} is {_short(wrong[2])}: want {wrong[1]}"
    missing = re.search(r"the following arguments are required: ([^\n]+)", report)
    if missing:
        return f"{f'{where} ' if where else ''}lacks {missing[1]}: want a value for each"
    refused = re.search(r"NestedArg\(key='([\w.]+)', val='([^']*)'\)", report)
    if refused:
        return f"{where}.init_args.{refused[1]} cannot be set to {_short(refused[2])}: want one that is not linked"
    given = re.search(r"^\s*Given value: ([^\n]+)$", report, re.M)
    if where and given:
        return f"{where} is {_short(given[1])}: want another value"
    lines = [line.strip(" -") for line in report.splitlines() if line.strip(" -")]
    return f"{lines[0][:300]} {lines[-1][:300] if len(lines) > 1 else ''}".strip() if lines else "configuration"


def _short(value: str) -> str:
    return value if len(value) <= 80 else f"{value[:77]}..."


def _unknown(where: str, name: str, owner: str) -> str:
    """An argument that does not exist, with the nearest that does."""
    full = f"{where}.init_args.{name}" if where else name
    known = _arguments(owner or _GROUPS.get(name.partition(".")[0], ""))
    return f"{full} is no argument{f' of {owner}' if owner else ''}: want {nearest(name.rpartition('.')[2], known)}"


def nearest(name: str, known: list[str]) -> str:
    """What was meant by a name that is not known: the nearest one that is, or all of them.

    >>> nearest("widht", ["width", "layers"])
    'width?'
    """
    near = difflib.get_close_matches(name, known, 1)
    return f"{near[0]}?" if near else f"one of {', '.join(known)}" if known else "no argument"


def _arguments(path: str) -> list[str]:
    module, _, name = path.rpartition(".")
    try:
        known, _ = parameters(getattr(importlib.import_module(module), name), 0)
    except (ImportError, AttributeError, ValueError, TypeError):
        return []
    return [name for name in known if name != "**"]
