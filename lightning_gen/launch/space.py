"""The parameters of a sweep: each a map from the unit interval to values, the inverse of its distribution function.

With it every method is written once: a grid takes the values in turn, a random search draws u ~ U(0, 1), and Bayesian
search works in u, where every distribution of the format is flat.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning_gen.errors import UserError

__all__ = ["MOST", "Parameter", "parameter"]

#: distribution -> what it wants beside ``distribution``; a missing mu, sigma, a, b or q has the format's default
_WANTS = {
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
    **dict.fromkeys(("int_uniform", "uniform", "q_uniform"), ("min", "max")),
    **dict.fromkeys(("log_uniform", "q_log_uniform", "inv_log_uniform"), ("min", "max")),
    **dict.fromkeys(("log_uniform_values", "q_log_uniform_values", "inv_log_uniform_values"), ("min", "max")),
    **dict.fromkeys(("normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta"), ()),
}
#: values of a parameter that are laid out, and trials of a sweep
MOST = 100_000
#: keys of the format whose values are numbers
_NUMBERS = ("min", "max", "mu", "sigma", "q", "a", "b")


@dataclass(frozen=True)
class Parameter:
    """One argument of the command line that the sweep varies.

    Args:
        name: dotted, as ``--name=value`` spells it.
        at: u in [0, 1) -> value.
        values: all values, in order, where they are finitely many; else empty.
        choice: whether the values have no order, so that Bayesian search must not interpolate.
    """

    name: str
    at: Callable[[float], Any]
    values: tuple[Any, ...] = ()
    choice: bool = False


def parameter(name: str, spec: Any) -> Parameter:
    """An entry of ``parameters`` in W&B's format -> a `Parameter`.

    Raises:
        UserError: the entry is none of the format's distributions, or its bounds make no sense.
    """
    where = f"parameters.{name}"
    if not isinstance(spec, dict):
        raise UserError(f"{where} is {spec!r}: want a mapping such as {{value: 3}} or {{min: 0.0, max: 1.0}}")
    if "parameters" in spec:
        raise UserError(f"{where} is nested: want one dotted name for each argument, such as {name}.lr")
    kind = spec.get("distribution") or _inferred(where, spec)
    if kind not in _WANTS:
        raise UserError(f"{where}.distribution is {kind}: want one of {', '.join(_WANTS)}")
    for key in _WANTS[kind]:
        if key not in spec:
            raise UserError(f"{where} lacks {key}: want it for the distribution {kind}")
    if "values" in spec or "value" in spec:
        return _choices(name, where, spec)
    spec = {key: _read(value) if key in _NUMBERS else value for key, value in spec.items()}
    for key in _NUMBERS:
        if key in spec and not _number(spec[key]):
            raise UserError(f"{where}.{key} is {spec[key]!r}: want a number")
    if "min" in spec and spec["min"] >= spec["max"]:
        raise UserError(f"{where}.min is {spec['min']}: want less than max, {spec['max']}")
    if kind.endswith("log_uniform_values") and spec["min"] <= 0:
        raise UserError(f"{where}.min is {spec['min']}: want more than 0 for {kind}")
    for key in ("q", "sigma", "a", "b"):
        if spec.get(key, 1) <= 0:
            raise UserError(f"{where}.{key} is {spec[key]}: want more than 0")
    return _numeric(name, kind, spec)


def _read(value: Any) -> Any:
    """A number that YAML takes for a text, such as 1e-4, which lacks the point that it wants."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _inferred(where: str, spec: dict[str, Any]) -> str:
    """The distribution that W&B takes where none is named."""
    kinds = {"value": "constant", "probabilities": "categorical_w_probabilities", "values": "categorical"}
    for key, kind in kinds.items():
        if key in spec:
            return kind
    if "min" not in spec or "max" not in spec:
        raise UserError(f"{where} has {', '.join(spec) or 'nothing'}: want value, values, or min and max")
    ints = [isinstance(_read(spec[key]), int) for key in ("min", "max")]
    if any(ints) and not all(ints):
        raise UserError(f"{where} goes from {spec['min']} to {spec['max']}: want both whole or both with a point")
    return "int_uniform" if all(ints) else "uniform"


def _choices(name: str, where: str, spec: dict[str, Any]) -> Parameter:
    values = spec.get("values", [spec.get("value")])
    if not isinstance(values, list) or not values:
        raise UserError(f"{where}.values is {values!r}: want a list of one value or more")
    weights = spec.get("probabilities", [1 / len(values)] * len(values))
    if not isinstance(weights, list) or len(weights) != len(values) or not all(_number(w) and w >= 0 for w in weights):
        raise UserError(f"{where}.probabilities is {weights!r}: want {len(values)} numbers, 0 or more")
    if abs(sum(weights) - 1) > 1e-6:
        raise UserError(f"{where}.probabilities sum to {sum(weights):g}: want 1")

    def at(u: float) -> Any:
        total = 0.0
        for value, weight in zip(values, weights, strict=True):
            total += weight
            if u < total:
                return value
        return values[-1]

    return Parameter(name, at, tuple(values), "probabilities" not in spec)


def _numeric(name: str, kind: str, spec: dict[str, Any]) -> Parameter:
    low, high = spec.get("min", 0), spec.get("max", 0)
    if kind == "int_uniform":
        values = tuple(range(low, high + 1)) if high - low < MOST else ()
        return Parameter(name, lambda u: min(low + int(u * (high - low + 1)), high), values)
    smooth = _inverse(kind.removeprefix("q_"), spec)
    if not kind.startswith("q_"):
        return Parameter(name, smooth)
    q = spec.get("q", 1)

    def at(u: float) -> Any:
        value = round(smooth(u) / q) * q
        return value if isinstance(q, int) else round(value, 12)  # 0.30000000000000004 is no value of a step of 0.1

    if kind != "q_uniform" or (high - low) / q >= MOST:
        return Parameter(name, at)
    count = math.floor((high - low) / q + 1e-9) + 1
    return Parameter(name, at, tuple(dict.fromkeys(at((i + 1e-9) * q / (high - low)) for i in range(count))))


def _inverse(kind: str, spec: dict[str, Any]) -> Callable[[float], float]:
    """u -> value, the quantile function of a continuous distribution."""
    low, high = spec.get("min", 0.0), spec.get("max", 0.0)
    if kind == "uniform":
        return lambda u: low + u * (high - low)
    if kind == "log_uniform":  # bounds are exponents of e
        return lambda u: math.exp(low + u * (high - low))
    if kind == "log_uniform_values":
        return lambda u: low * (high / low) ** u
    if kind == "inv_log_uniform":  # log(1 / x) is uniform
        return lambda u: math.exp(-(low + u * (high - low)))
    if kind == "inv_log_uniform_values":
        return lambda u: high * (low / high) ** u
    if kind == "beta":
        from scipy.stats import beta

        return lambda u: float(beta.ppf(u, spec.get("a", 1), spec.get("b", 1)))
    from statistics import NormalDist

    normal = NormalDist(spec.get("mu", 0.0), spec.get("sigma", 1.0))
    inside: Callable[[float], float] = lambda u: normal.inv_cdf(min(max(u, 1e-12), 1 - 1e-12))  # noqa: E731
    return inside if kind == "normal" else lambda u: math.exp(inside(u))
