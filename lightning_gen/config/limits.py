"""Numbers that a configuration may not go beyond, whatever class they are for."""

import re
from typing import Any

from lightning_gen.errors import SEED_LIMIT

__all__ = ["beyond", "endless_path"]

#: arguments that count parts built one after the other
_LOOPS = {"layers", "blocks", "steps", "couplings", "stages", "scales", "pieces", "reflections", "iterations"}
_LOOPS |= {"generator_steps", "discriminator_steps", "heads", "terms", "components", "mixtures", "splits", "columns"}
_MOST_PARTS = 1024
_SEEDS = {"seed", "split_seed"}
#: the configuration library tries each part of a path: the time grows with the square of their number
_ENDLESS = re.compile(r"[\w.]{200,}")


def beyond(kind: type, values: dict[str, Any]) -> tuple[str, str] | None:
    """The argument of a class that is beyond its limit, and what it wants; None where there is none.

    Of our classes these are parts, of which no paper has so many, and which would never be ready; of all classes, seeds
    that some generator does not take.
    """
    numbers = {name: value for name, value in values.items() if isinstance(value, int)}
    if kind.__module__.startswith("lightning_gen."):
        for name in _LOOPS & numbers.keys():
            if numbers[name] > _MOST_PARTS:
                return name, f"at most {_MOST_PARTS}"
    for name in _SEEDS & numbers.keys():
        if not 0 <= numbers[name] <= SEED_LIMIT:
            return name, f"0 to {SEED_LIMIT}"
    return None


def endless_path(value: Any, argument: str = "") -> str | None:
    """The argument, in nested values, whose text could be the path of a class, and is longer than any; None where there
    is none."""
    if isinstance(value, str):
        return argument if value.count(".") > 40 and _ENDLESS.fullmatch(value) else None
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (endless_path(item, f"{argument}.{key}".strip(".")) for key, item in items)
    return next((path for path in found if path), None)
