"""What the constructor of a class takes, by name and type hint."""

import inspect
import re
import sys
from typing import Any, get_type_hints

__all__ = ["parameters", "shortest_path"]


def parameters(kind: type, skip: int) -> tuple[dict[str, Any], list[str]]:
    """The type hints of a constructor by name, and the names without a default. ``**`` is among the hints where it
    takes more; those of its bases are, where it hands ``**kwargs`` on to them."""
    signature = inspect.signature(kind)
    hints = _hints(kind)
    known: dict[str, Any] = {}
    required = []
    for index, parameter in enumerate(signature.parameters.values()):
        if parameter.kind is parameter.VAR_KEYWORD:
            inherited, closed = _inherited(kind)
            known |= {name: hint for name, hint in inherited.items() if name not in known}
            known |= {} if closed else {"**": Any}
        elif parameter.kind is not parameter.VAR_POSITIONAL and index >= skip:
            known[parameter.name] = hints.get(parameter.name, Any)
            if parameter.default is parameter.empty:
                required.append(parameter.name)
    return known, required


def _hints(kind: type) -> dict[str, Any]:
    """The hints of a constructor; what is None by default may be None, whatever its author has written."""
    try:
        hints = get_type_hints(kind.__init__)  # type: ignore[misc]
        defaults = {name: p.default for name, p in inspect.signature(kind.__init__).parameters.items()}  # type: ignore[misc]
    except (NameError, TypeError, ValueError, AttributeError):
        return {}
    return {name: hint | None if defaults.get(name, 0) is None else hint for name, hint in hints.items()}


def _inherited(kind: type) -> tuple[dict[str, Any], bool]:
    """The hints of the constructors that ``**kwargs`` may be handed on to; whether these are all that it takes."""
    found: dict[str, Any] = {}
    closed = _hands_on(kind)
    for base in kind.__mro__[1:]:
        if "__init__" not in vars(base) or base is object:
            continue
        found = {**_hints(base), **found}
        if closed and not (closed := _hands_on(base)):
            closed = all(p.kind is not p.VAR_KEYWORD for p in inspect.signature(base).parameters.values())
            break
    found.pop("return", None)
    return found, closed


def _hands_on(kind: type) -> bool:
    """Whether a constructor gives its ``**kwargs`` to that of its base, and to nothing else."""
    try:
        source = inspect.getsource(kind.__init__)  # type: ignore[misc]
    except (OSError, TypeError):  # of a class that was made at a prompt
        return False
    return source.count("**") == 2 and bool(re.search(r"super\(\)\.__init__\([^()]*\*\*\w+\)", source))


def shortest_path(kind: type) -> str:
    """The path of a class as users write it: ``torch.optim.Adam``, which is defined in ``torch.optim.adam``."""
    parts = kind.__module__.split(".")
    modules = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    found = (name for name in modules if vars(sys.modules.get(name, sys)).get(kind.__name__) is kind)
    return f"{next(found, kind.__module__)}.{kind.__name__}"
