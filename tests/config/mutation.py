"""Configurations with a slip of the hand or an ill will in them: seeded, so that every one can be made again."""

import copy
import datetime
import importlib
import inspect
import pkgutil
import random
from collections.abc import Iterator
from typing import Any

import lightning_gen

__all__ = ["mutated"]

_VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, 3, 7, -1, -5, 10**9, 2**31, 2**62, 2**63, 2**70, 0.0, 0.5, -0.5, 1e-4, "1e-4", 1e300),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "x", "many", "x" * 10_000, "a\0b", "é\u202e", "null", "[1,"),
    *("${", "${x}", "${run.images}", "${model}", "${oc.env:HOME}", "${oc.env:NOT_THERE}", "${oc.env:}", "{a: b}"),
    *("../..", "/dev/null", "x.yaml", "a.b", "a.b.C", "os.system", "torch.load", "torch.optim.Adam", "torch.nn.ReLU"),
    *([], {}, [1], [None], [[]], [1, [2, [3]]], {"a": 1}, {"class_path": "x"}, {"class_path": None}, {"init_args": {}}),
    *({"class_path": "os.system", "init_args": {"command": "true"}}, datetime.date(2026, 1, 1), {1: 2}, {None: None}),
]
_CHANGES = (*["value"] * 3, *["class"] * 2, "drop", "rename", "more", "wrap", "swap", "deep")
#: arguments that start other processes or need other machines
_LEFT_ALONE = {"devices", "num_nodes", "strategy", "accelerator", "root", "use_distributed_sampler"}
_ROOMS = ("bijections", "data", "distributions", "losses", "metrics", "models", "nets", "schedules")


def _classes() -> Iterator[str]:
    for module in pkgutil.walk_packages(lightning_gen.__path__, "lightning_gen."):
        if module.name.split(".")[1] in _ROOMS and not module.ispkg:
            for name, kind in vars(importlib.import_module(module.name)).items():
                if inspect.isclass(kind) and kind.__module__ == module.name:
                    yield f"{module.name}.{name}"


#: read 410 pieces of music, for minutes, where their cache is empty
_LONG = {"lightning_gen.data.chorales.Chorales"}
CLASSES = sorted(set(_classes()) - _LONG)


def _places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Every place in nested values, as the keys that lead there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if key not in _LEFT_ALONE:
            yield (*path, key)
            yield from _places(item, (*path, key))


def _at(value: Any, path: tuple) -> Any:
    for key in path:
        value = value[key]
    return value


def mutated(content: dict[str, Any], source: random.Random) -> dict[str, Any]:
    """A copy with one to three changes: another value, class, key or place, something missing, something more."""
    content = copy.deepcopy(content)
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        places = list(_places(content))
        if places:
            _change(content, source.choice(places), places, source)
    return content


def _change(content: dict[str, Any], path: tuple, places: list[tuple], source: random.Random) -> None:
    parent, key = _at(content, path[:-1]), path[-1]
    kind = source.choice(_CHANGES)
    if kind == "value":
        parent[key] = copy.deepcopy(source.choice(_VALUES))
    elif kind == "class":
        chosen = source.choice(CLASSES)
        parent[key] = chosen if isinstance(parent[key], str) else {"class_path": chosen}
    elif kind == "drop":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        parent[source.choice((f"{key}x", str(key)[:-1], str(key).upper(), "class_path", "init_args"))] = parent.pop(key)
    elif kind == "more" and isinstance(parent[key], dict):
        parent[key][source.choice(("x", "init_args", "class_path", "dict_kwargs", "__path__", "layers", "spec"))] = 3
    elif kind == "wrap":
        parent[key] = [parent[key]] if source.random() < 0.5 else {"init_args": parent[key]}
    elif kind == "swap":
        other = source.choice(places)
        if other[: len(path)] != path and path[: len(other)] != other:
            there = _at(content, other[:-1])
            there[other[-1]], parent[key] = parent[key], there[other[-1]]
    elif kind == "deep":
        for _ in range(source.choice((3, 20, 50))):
            parent[key] = {"class_path": source.choice(CLASSES), "init_args": {"net": parent[key]}}
