"""Objects out of plain values, as a configuration or a checkpoint holds them: {class_path: ..., init_args: ...}.

`plan` reads the values beside the type hints of what they are for, and checks every name before anything is built;
`make` builds what was planned. A class is built only where it is a subclass of what the argument wants.
"""

import enum
import inspect
import types
import typing
from abc import ABC
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from lightning_gen.config.limits import beyond
from lightning_gen.config.messages import nearest
from lightning_gen.config.scalars import SCALARS, Misfit, one_of, scalar
from lightning_gen.config.signatures import parameters, shortest_path
from lightning_gen.config.trust import find_class
from lightning_gen.errors import UserError

__all__ = ["Piece", "Where", "build", "make", "plan"]

_SPEC = {"class_path", "init_args", "dict_kwargs"}
#: a configuration nests classes in classes; a deeper one is no honest file
_DEPTH = 40


class Where(NamedTuple):
    """The place of a value, for the messages.

    Args:
        argument: such as ``model.init_args.encoder``.
        source: the file, such as ``checkpoint runs/x/checkpoints/last.ckpt``; empty for the command line.
        open_world: whether classes of every package may be named.
        complete: whether an argument without a default must be given.
    """

    argument: str
    source: str = ""
    open_world: bool = False
    complete: bool = True

    def below(self, name: str) -> "Where":
        """The place of one of its arguments."""
        return self._replace(argument=f"{self.argument}.{name}" if self.argument else name)

    def __str__(self) -> str:
        return f"{self.source}: {self.argument}" if self.source else self.argument

    def wrong(self, value: object, wanted: str) -> UserError:
        """The error of a value that does not fit."""
        shown = " ".join(repr(value).split())
        return UserError(f"{self} is {shown[:77] + '...' if len(shown) > 80 else shown}: want {wanted}")


@dataclass
class Piece:
    """A class to be built: with these arguments, or called with them later (a factory); `argument` says where."""

    kind: type
    arguments: dict[str, Any]
    argument: str
    factory: bool = False


def build(hint: Any, value: Any, where: Where) -> Any:
    """`make` what `plan` reads."""
    return make(plan(hint, value, where))


def make(planned: Any) -> Any:
    """Build what was planned, the innermost pieces first."""
    if isinstance(planned, Piece):
        arguments = {name: make(value) for name, value in planned.arguments.items()}
        return partial(planned.kind, **arguments) if planned.factory else planned.kind(**arguments)
    if isinstance(planned, dict):
        return {key: make(value) for key, value in planned.items()}
    if isinstance(planned, list | tuple):
        return type(planned)(make(value) for value in planned)
    return planned


def plan(hint: Any, value: Any, where: Where) -> Any:
    """The value, checked, with a `Piece` for each class that it names.

    Args:
        hint: a type hint; what it does not know stays a plain value.
        value: None, a number, a string, a list or a dict of them.
        where: its place.

    Raises:
        UserError: it does not fit, or names a class that is not trusted or not wanted here.
    """
    if where.argument.count(".") > 2 * _DEPTH:
        raise where.wrong("nested too deeply", f"at most {_DEPTH} classes in one another")
    try:
        return _fit(hint, value, where)
    except Misfit as error:
        raise where.wrong(value, error.wanted) from None


def _fit(hint: Any, value: Any, where: Where) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _fit_any(get_args(hint), value, where)
    if origin is typing.Annotated:
        return _fit(get_args(hint)[0], value, where)
    if origin is typing.Literal:
        return one_of(get_args(hint), value)
    if origin is type or hint is type:
        return _class_of(get_args(hint) or (object,), value, where)
    if origin is Callable or hint in (Callable, typing.Callable) or _is_factory(hint):
        return _fit_factory(hint, value, where)
    if hint in SCALARS:
        return scalar(hint, value)
    if isinstance(origin, type):
        return _fit_collection(origin, get_args(hint), value, where)
    if isinstance(hint, type) and hint not in (object, Any):  # since Python 3.11 Any is a class
        return _fit_class((hint,), value, where)
    return _plain(value, where)


def _fit_any(hints: tuple[Any, ...], value: Any, where: Where) -> Any:
    """The first hint that fits. None and plain types before classes: a string may be a name or a text."""
    wanted = []
    classes = tuple(filter(_is_class, hints))
    for hint in sorted(hints, key=lambda hint: (hint in SCALARS, hint is not type(None)), reverse=True):
        try:
            return _fit_class(classes, value, where) if hint in classes else _fit(hint, value, where)
        except Misfit as error:
            wanted.append(error.wanted)
    raise Misfit(" or ".join(dict.fromkeys(filter(None, wanted))))


def _is_class(hint: Any) -> bool:
    """Whether a hint is a class whose subclasses a file may name."""
    if not isinstance(hint, type) or get_origin(hint) is not None or hint in SCALARS or hint in (object, Any):
        return False
    return not _is_factory(hint) and not issubclass(hint, enum.Enum | Tensor)


def _fit_collection(origin: type, hints: tuple[Any, ...], value: Any, where: Where) -> Any:
    if issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise Misfit("a mapping")
        keys, values = hints or (Any, Any)
        return {_fit(keys, key, where): plan(values, item, where.below(str(key))) for key, item in value.items()}
    if issubclass(origin, Collection) or origin.__module__ == "collections.abc":
        if not isinstance(value, list | tuple):
            raise Misfit("a list")
        if origin is tuple and hints and hints[-1] is not ...:
            if len(value) != len(hints):
                raise Misfit(f"a list of {len(hints)}")
            parts = enumerate(zip(hints, value, strict=True))
            return tuple(plan(part, item, where.below(str(i))) for i, (part, item) in parts)
        items = [plan(hints[0] if hints else Any, item, where.below(str(i))) for i, item in enumerate(value)]
        return items if origin in (list, Collection) or not issubclass(origin, tuple) else tuple(items)
    return _fit_class((origin,), value, where)  # a generic class


def _plain(value: Any, where: Where) -> Any:
    """A value without a type: anything but a class."""
    if isinstance(value, dict):
        if "class_path" in value:
            raise where.wrong(value["class_path"], "a plain value: no class is wanted here")
        return {key: _plain(item, where.below(str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, where.below(str(i))) for i, item in enumerate(value)]
    if value is not None and not isinstance(value, bool | int | float | str):
        raise where.wrong(type(value).__name__, "a plain value")
    return value


def _fit_class(wanted: tuple[type, ...], value: Any, where: Where) -> Any:
    """A subclass of one of the classes that are wanted."""
    first = wanted[0]
    if issubclass(first, enum.Enum):
        if not isinstance(value, str) or value not in first.__members__:
            raise Misfit(f"one of {', '.join(first.__members__)}")
        return first[value]
    if first is Tensor:
        raise Misfit("")  # one of several hints of an optimizer, never of a file
    kind, arguments, place = _named(wanted, value, where)
    return Piece(kind, _arguments(kind, arguments, place), where.argument)


def _fit_factory(hint: Any, value: Any, where: Where) -> Any:
    """A class that is called later: ``Callable[[A, B], C]`` wants a subclass of C, whose first two arguments come then.
    Where C is no class, the argument wants an object that can be called."""
    given, result = _signature(hint)
    wanted = tuple(kind for kind in (get_args(result) or (result,)) if isinstance(kind, type) and kind is not Tensor)
    if not wanted:
        kind, arguments, place = _named((object,), value, where)
        if "__call__" not in {name for base in kind.__mro__ for name in vars(base)}:
            raise place.below("class_path").wrong(kind.__name__, "a class whose objects can be called")
        return Piece(kind, _arguments(kind, arguments, place), where.argument)
    kind, arguments, place = _named(wanted, value, where)
    return Piece(kind, _arguments(kind, arguments, place, skip=given), where.argument, factory=True)


def _is_factory(hint: Any) -> bool:
    return getattr(hint, "_is_protocol", False) and "__call__" in vars(hint)


def _signature(hint: Any) -> tuple[int, Any]:
    """How many positional arguments a factory is called with, and what it returns."""
    if _is_factory(hint):
        call = inspect.signature(hint.__call__)
        return len(call.parameters) - 1, get_type_hints(hint.__call__).get("return")
    words, result = get_args(hint) or (..., Any)
    return (0 if words is ... else len(words)), result


def _named(wanted: tuple[type, ...], value: Any, where: Where) -> tuple[type, dict[str, Any], Where]:
    """The class that `value` names, what is said of its arguments, and their place."""
    names = " or ".join(kind.__name__ for kind in wanted)
    if isinstance(value, str):
        value = {"class_path": value}
    if not isinstance(value, dict):
        raise Misfit(f"a class, {names}")
    if "class_path" not in value:  # the arguments of the very class that is wanted
        if len(wanted) > 1 or _is_abstract(wanted[0]) or set(value) & _SPEC:
            raise Misfit(f"a class_path, of {names}")
        return wanted[0], value, where
    if stray := set(value) - _SPEC:
        raise where.below(str(min(stray, key=str))).wrong("given", "class_path and init_args alone")
    return _class_of(wanted, value["class_path"], where), _all_arguments(value, where), where.below("init_args")


def _all_arguments(value: dict[str, Any], where: Where) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in ("init_args", "dict_kwargs"):
        part = value.get(key) or {}
        if not isinstance(part, dict):
            raise where.below(key).wrong(part, "a mapping of arguments")
        found |= part
    return found


def _class_of(wanted: tuple[Any, ...], path: Any, where: Where) -> type:
    place = where.below("class_path")
    path = _by_name(path, wanted) if where.open_world else path
    kind = find_class(path, str(place), where.open_world)
    bases = tuple(base for base in wanted if isinstance(base, type))
    if bases and not issubclass(kind, bases):
        raise place.wrong(path, f"a subclass of {' or '.join(base.__name__ for base in bases)}")
    if _is_abstract(kind):
        raise place.wrong(path, f"a subclass of {kind.__name__} that is not abstract")
    return kind


def _is_abstract(kind: type) -> bool:
    return inspect.isabstract(kind) or ABC in kind.__bases__


def _by_name(path: Any, wanted: tuple[Any, ...]) -> Any:
    """The path of a subclass that is known by its name alone, as the command line takes it; else `path` as it is."""
    found, rest = [], [kind for kind in wanted if isinstance(kind, type) and kind is not object]
    while rest and isinstance(path, str) and "." not in path:
        kind = rest.pop()
        found += [f"{kind.__module__}.{path}"] if kind.__name__ == path else []
        rest += type.__subclasses__(kind)
    return found[0] if found else path


def _arguments(kind: type, values: dict[str, Any], where: Where, skip: int = 0) -> dict[str, Any]:
    """The arguments of a class, planned; the first `skip` of them come later."""
    known, required = parameters(kind, skip)
    for name in values:
        if name not in known and "**" not in known:
            raise _unknown(kind, name, [*known], where)
    missing = [name for name in required if name not in values]
    if missing and where.complete:
        raise UserError(f"{where} lacks {', '.join(missing)}: want a value for each")
    if found := beyond(kind, values):
        raise where.below(found[0]).wrong(values[found[0]], found[1])
    return {name: plan(known.get(name, Any), value, where.below(name)) for name, value in values.items()}


def _unknown(kind: type, name: object, known: list[str], where: Where) -> UserError:
    about = nearest(str(name), known)
    classed = where.argument.endswith("init_args")  # a section such as run names no class
    owner = f" of {shortest_path(kind)}" if classed else ""
    return UserError(f"{where.below(str(name))} is no argument{owner}: want {about}")
