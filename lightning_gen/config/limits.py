"""Numbers that a configuration may not go beyond, whatever class they are for."""

from typing import Any

from lightning_gen.errors import SEED_LIMIT

__all__ = ["beyond"]

#: arguments that count parts built one after the other
_LOOPS = {"layers", "blocks", "steps", "couplings", "stages", "scales", "pieces", "reflections", "iterations"}
_LOOPS |= {"generator_steps", "discriminator_steps", "heads", "terms", "components", "mixtures", "splits", "columns"}
_MOST_PARTS = 1024
_SEEDS = {"seed", "split_seed"}


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
