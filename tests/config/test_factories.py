"""Factories in constructors: what they return must be abstract."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, get_args, get_origin, get_type_hints

from torch import nn

import lightning_gen


def _factories(hint: Any):
    """Return types of every Callable[[...], X] inside an annotation."""
    if get_origin(hint) is get_origin(Callable[[int], int]):
        yield get_args(hint)[-1]
    for part in get_args(hint):
        if not isinstance(part, list):
            yield from _factories(part)


def _constructors():
    for module in pkgutil.walk_packages(lightning_gen.__path__, "lightning_gen."):
        if module.name.split(".")[1] not in ("models", "nets", "bijections", "distributions", "evaluation", "data"):
            continue
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name and "__init__" in vars(kind):
                yield kind


def test_what_a_factory_returns_is_abstract():
    """The configuration library takes a concrete class there for a default, and asks for the arguments that we give."""
    found = []
    for kind in _constructors():
        for name, hint in get_type_hints(kind.__init__).items():
            for made in _factories(hint):
                ours = inspect.isclass(made) and made.__module__.startswith("lightning_gen")
                if ours and made is not nn.Module and not inspect.isabstract(made):
                    found.append(f"{kind.__module__}.{kind.__name__}.{name}: {made.__name__}")
    assert found == []
