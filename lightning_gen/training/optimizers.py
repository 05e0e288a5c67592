"""The options of optimizers over a resume: those that the configuration has changed take effect."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from lightning_gen.errors import UserError

__all__ = ["Options", "apply_changes", "check_classes", "options_of"]

#: of each optimizer its class and the options of its parameter groups
Options = list[dict[str, Any]]


def options_of(optimizers: Sequence[Optimizer]) -> Options:
    """Return what the configuration has made of fresh optimizers, as plain values."""
    return [
        {"class": type(o).__name__, "groups": [_plain(group) for group in o.param_groups]}
        for o in map(_unwrapped, optimizers)
    ]


def _unwrapped(optimizer: Any) -> Optimizer:
    return getattr(optimizer, "optimizer", optimizer)


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    values = {key: value.item() if isinstance(value, Tensor) else value for key, value in group.items()}
    return {key: value for key, value in values.items() if isinstance(value, bool | int | float | str | tuple)}


def apply_changes(optimizers: Sequence[Optimizer], before: Options, now: Options) -> None:
    """Set options that differ between two configurations; the others stay as the checkpoint has them.

    Args:
        optimizers: as the checkpoint has them.
        before: from `options_of`, of the configuration that the checkpoint was written under.
        now: the same of the present configuration.
    """
    for optimizer, old, new in zip(optimizers, before, now, strict=True):
        for group, a, b in zip(optimizer.param_groups, old["groups"], new["groups"], strict=True):
            for key in (key for key in b if a.get(key) != b[key]):
                if isinstance(group.get(key), Tensor):  # a captured graph reads it there
                    group[key].fill_(b[key])
                else:
                    group[key] = b[key]
            if a.get("lr") != b.get("lr"):
                group["initial_lr"] = b["lr"]  # a schedule multiplies it


def check_classes(module: LightningModule, before: Options) -> None:
    """Raise where the states of a checkpoint are not those of the model's optimizers.

    Raises:
        UserError: they are of another class, or of other groups of parameters.
    """
    found: Any = module.configure_optimizers()
    optimizers = found if isinstance(found, list | tuple) else [found]
    if not all(isinstance(optimizer, Optimizer) for optimizer in optimizers):
        return  # of a foreign module, with schedulers of Lightning's
    now = options_of(optimizers)
    for i in range(max(len(now), len(before))):
        names = [part[i]["class"] if i < len(part) else "no optimizer" for part in (now, before)]
        if names[0] != names[1] or len(now[i]["groups"]) != len(before[i]["groups"]):
            what = f"optimizer {i + 1} is {names[0]}, but {names[1]} in the checkpoint"
            raise UserError(f"model: {what}, whose state does not fit: want the same, or --run.start_from in a new run")
