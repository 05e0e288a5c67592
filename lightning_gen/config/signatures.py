"""What the constructor of a class takes, by name and type hint."""

import inspect
import sys
from typing import Any, get_type_hints

__all__ = ["parameters", "shortest_path"]


def parameters(kind: type, skip: int) -> tuple[dict[str, Any], list[str]]:
    """The type hints of a constructor by name, ``**`` among them where it takes more, and those without a default."""
    signature = inspect.signature(kind)
    hints = _hints(kind)
    known: dict[str, Any] = {}
    required = []
    for index, parameter in enumerate(signature.parameters.values()):
        if parameter.kind is parameter.VAR_KEYWORD:
            known |= {name: hint for name, hint in _inherited(kind).items() if name not in known} | {"**": Any}
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


def _inherited(kind: type) -> dict[str, Any]:
    """The hints of the constructors that ``**kwargs`` may be handed on to."""
    found: dict[str, Any] = {}
    for base in kind.__mro__[1:]:
        if "__init__" in vars(base) and base is not object:
            found = {**_hints(base), **found}
    found.pop("return", None)
    return found


def shortest_path(kind: type) -> str:
    """The path of a class as users write it: ``torch.optim.Adam``, which is defined in ``torch.optim.adam``."""
    parts = kind.__module__.split(".")
    modules = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    found = (name for name in modules if vars(sys.modules.get(name, sys)).get(kind.__name__) is kind)
    return f"{next(found, kind.__module__)}.{kind.__name__}"
