"""A sweep in W&B's format, read and checked: https://docs.wandb.ai/models/sweeps/sweep-config-keys."""

import hashlib
import itertools
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_gen.errors import UserError
from lightning_gen.launch.space import MOST, Parameter, parameter
from lightning_gen.reading import parse_yaml, read_text

__all__ = ["SweepFile", "read_sweep"]

_KEYS = ("program", "command", "method", "metric", "parameters", "early_terminate", "run_cap", "name", "description")
#: the program of a sweep over trainings
_TRIAL = "lightning_gen.launch.trial"
_MORE = ("project", "entity", "apiVersion", "kind")


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says.

    Args:
        name: of the file, without its ending: the name of the study and of its folder.
        method: grid, random or bayes.
        metric: name in ``metrics.jsonl``.
        maximize: whether more of it is better.
        parameters: what varies, and constants.
        command: words, with ``${env}``, ``${interpreter}``, ``${program}`` and ``${args}`` as W&B replaces them.
        program: what ``${program}`` stands for.
        cap: number of trials (None: the whole grid).
        stopping: ``early_terminate``; empty: every trial runs to its end.
        digest: 16 hex digits over everything that decides which trials there are.
    """

    name: str
    method: str
    metric: str
    maximize: bool
    parameters: tuple[Parameter, ...]
    command: tuple[str, ...]
    program: str
    cap: int | None = None
    stopping: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def is_fit(self) -> bool:
        """Whether a trial is ``lightning-gen fit`` and nothing else; any other command runs what its author likes."""
        words = list(self.command[1:] if self.command[:1] == ("${env}",) else self.command)
        return words[:3] == ["${interpreter}", "-m", "${program}"] and self.program == _TRIAL

    def points(self, seed: int) -> list[dict[str, Any]]:
        """The trials of a grid or of a random search, as values by name; point i of a random search depends on the
        seed and on i alone."""
        if self.method == "grid":
            grid = itertools.product(*(p.values for p in self.parameters))
            names = [p.name for p in self.parameters]
            return [dict(zip(names, row, strict=True)) for row in itertools.islice(grid, self.cap)]
        return [self.draw(random.Random(f"{seed}/{i}")) for i in range(self.cap or 0)]

    def draw(self, source: random.Random) -> dict[str, Any]:
        """One value of every parameter."""
        return {p.name: p.at(source.random()) for p in self.parameters}

    def words(self, values: dict[str, Any]) -> list[str]:
        """The command line of a trial."""
        replaced = {
            "${env}": ["/usr/bin/env"],
            "${interpreter}": [sys.executable],
            "${program}": [self.program],
            "${args}": [f"--{name}={_spelled(value)}" for name, value in values.items()],
        }
        return [word for part in self.command for word in replaced.get(part, [part])]


def _spelled(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, dict | list | bool) or value is None else str(value)


def read_sweep(path: Path, cap: int | None = None, changes: Sequence[str] = ()) -> SweepFile:
    """Read and check a sweep file.

    Args:
        path: of the YAML.
        cap: number of trials instead of the file's ``run_cap``.
        changes: parameters, each ``KEY=VALUE``, or ``KEY=[VALUE, VALUE]`` for one that varies, instead of or beside
            those of the file.

    Raises:
        UserError: whatever the local engine cannot run, in one line that names the key.
    """
    config = _mapping(path)
    method = config.get("method")
    if method not in ("grid", "random", "bayes"):
        raise UserError(f"{path}: method is {method}: want grid, random or bayes")
    metric = config.get("metric")
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        raise UserError(f"{path}: metric is {metric}: want a mapping with a name, such as eval/bits_per_dim")
    if metric.get("goal", "minimize") not in ("minimize", "maximize"):
        raise UserError(f"{path}: metric.goal is {metric['goal']}: want minimize or maximize")
    entries = config.get("parameters")
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{path}: parameters is {entries}: want a mapping of one argument or more")
    entries = entries | dict(map(_change, changes))
    try:
        parameters = tuple(parameter(name, spec) for name, spec in entries.items())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    cap = cap or _cap(path, config)
    endless = [p.name for p in parameters if not p.values]
    if method == "grid" and endless:
        raise UserError(f"{path}: parameters.{endless[0]} has no end: want values, or whole numbers, for a grid")
    if (cap or (math.prod(len(p.values) for p in parameters) if method == "grid" else 0)) > MOST:
        raise UserError(f"{path}: parameters or run_cap make too many trials: want at most {MOST:,}")
    if method != "grid" and cap is None:
        raise UserError(f"{path}: run_cap is missing: want a number of trials for method {method}, or --trials N")
    config["parameters"] = entries
    decides = [config.get(key) for key in ("method", "metric", "parameters", "command", "program", "early_terminate")]
    return SweepFile(
        path.stem,
        method,
        metric["name"],
        metric.get("goal") == "maximize",
        parameters,
        _command(path, config),
        str(config.get("program")),
        cap,
        _stopping(path, config),
        hashlib.sha256(json.dumps([*decides, cap], default=str).encode()).hexdigest()[:16],
    )


def _change(text: str) -> tuple[str, dict[str, Any]]:
    """``KEY=VALUE`` -> the name of a parameter, and what a file would say of it."""
    name, sign, value = text.partition("=")
    try:
        content = parse_yaml(value, f"set {name}")
    except UserError:
        sign = ""
    if not sign or not name:
        raise UserError(f"set is {text}: want KEY=VALUE, such as run.images=6400, or KEY=[VALUE, VALUE]")
    return name, {"values": content} if isinstance(content, list) else {"value": content}


def _mapping(path: Path) -> dict[str, Any]:
    config = parse_yaml(read_text(path, "sweep"), f"sweep {path}")
    if not isinstance(config, dict):
        raise UserError(f"{path} holds {type(config).__name__}: want a mapping in W&B's sweep format")
    for key in config:
        if key not in _KEYS + _MORE:
            raise UserError(f"{path}: {key} is no key that runs here: want one of {', '.join(_KEYS + _MORE)}")
    return config


def _cap(path: Path, config: dict[str, Any]) -> int | None:
    cap = config.get("run_cap")
    if cap is not None and (not isinstance(cap, int) or cap < 1):
        raise UserError(f"{path}: run_cap is {cap}: want a whole number, 1 or more")
    return cap


def _command(path: Path, config: dict[str, Any]) -> tuple[str, ...]:
    command = config.get("command", ["${env}", "${interpreter}", "${program}", "${args}"])
    if not isinstance(command, list) or "${args}" not in command:
        raise UserError(f"{path}: command is {command}: want a list of words with ${{args}} among them")
    if "${program}" in command and not isinstance(config.get("program"), str):
        raise UserError(f"{path}: program is {config.get('program')}: want what ${{program}} in command stands for")
    known = ("${env}", "${interpreter}", "${program}", "${args}")
    for word in map(str, command):
        if word.startswith("${") and word not in known:
            raise UserError(f"{path}: command has {word}: want one of {', '.join(known)}")
    return tuple(map(str, command))


def _stopping(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    stopping = config.get("early_terminate") or {}
    if not stopping:
        return {}
    if not isinstance(stopping, dict) or stopping.get("type") != "hyperband":
        raise UserError(f"{path}: early_terminate is {stopping}: want type hyperband; median by --stop median")
    eta = stopping.get("eta", 3)
    if not isinstance(eta, int) or eta < 2:
        raise UserError(f"{path}: early_terminate.eta is {eta}: want a whole number, 2 or more")
    first = stopping.get("min_iter")
    if first is None and {"max_iter", "s"} <= stopping.keys():
        first = max(1, math.floor(stopping["max_iter"] / eta ** stopping["s"]))
    if not isinstance(first, int) or first < 1:
        raise UserError(f"{path}: early_terminate has no min_iter: want it, 1 or more, or max_iter and s")
    return {"type": "hyperband", "min_iter": first, "eta": eta}
