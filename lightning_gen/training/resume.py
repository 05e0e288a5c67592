"""Going on with a run: which checkpoint, whether it is still the same run, and a run folder as of that checkpoint."""

import json
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_gen.config.loading import check_stored
from lightning_gen.config.messages import flat
from lightning_gen.errors import IMAGE_LIMIT, UserError
from lightning_gen.files import atomic_write, write_text
from lightning_gen.reading import parse_yaml, read_rows, read_text
from lightning_gen.runs.folder import METRICS, row_files
from lightning_gen.training.checkpoint_io import is_whole, keep, newest_valid
from lightning_gen.training.optimizers import check_classes

__all__ = ["Resume", "Start", "check_new", "rewind", "start"]

#: "no": a new run; "same": go on with the run of this name where there is one; "changed": the same with another config
Resume = Literal["no", "same", "changed"]
#: where a run lies, is mirrored to and how it was started may change; what it is may not
_FREE = ("run.root", "run.name", "run.wandb", "run.resume")
#: what has its effect at the beginning of a run alone
_FIXED = ("seed_everything", "run.start_from")


class Start(NamedTuple):
    """How a run begins.

    new: whether its folder is new; checkpoint: the one it goes on from, None for the beginning; images_seen: by then;
    rows: bytes of each file of rows by then; damaged: newer checkpoints that cannot be read.
    """

    new: bool
    checkpoint: Path | None = None
    images_seen: int = 0
    rows: dict[str, int] | None = None
    damaged: tuple[Path, ...] = ()


def start(folder: Path, config: str, resume: Resume, trainer: Trainer, module: LightningModule) -> Start:
    """Decide how the run in `folder` begins; write nothing.

    Args:
        folder: of the run.
        config: as YAML.
        resume: what the user asked for.
        trainer: not yet running; processes other than the first only look.
        module: as the configuration builds it.

    Raises:
        UserError: the folder exists and `resume` is "no", the configuration is another one and it is "same", or the
            checkpoint's weights or optimizers do not fit the module, or all checkpoints are damaged.
    """
    first = trainer.is_global_zero
    # A run that was killed before it had a configuration has nothing to go on with.
    if not (folder / "config.yaml").exists() and not (first and folder.exists() and resume == "no"):
        return Start(True)
    if resume == "no":
        if not first:  # the first process has just made it
            return Start(True)
        raise UserError(_exists(folder))
    checkpoint, damaged = newest_valid(folder / "checkpoints")
    if damaged and checkpoint is None:
        raise UserError(_all_damaged(folder, damaged))
    if first:
        _check_same(folder / "config.yaml", config, resume, begun=checkpoint is not None)
    state = _state(checkpoint, module) if checkpoint else {}
    return Start(False, checkpoint, state.get("images_seen", 0), state.get("rows", {}), tuple(damaged))


def _state(checkpoint: Path, module: LightningModule) -> dict[str, Any]:
    """The values of a checkpoint, which are found to be of a training of `module`."""
    try:
        check_stored(checkpoint)
        state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        _check_entries(state)
    except Exception as error:  # of a file from elsewhere the reader raises whatever it is led to
        why = f"{type(error).__name__} {error}"[:160]
        raise UserError(f"checkpoint {checkpoint} cannot be gone on from, {why}: want one of this version") from error
    _check_shapes(checkpoint, state["state_dict"], module)
    check_classes(module, state["optimizer_options"])
    return state


def _check_entries(state: dict[str, Any]) -> None:
    """Raise where an entry that a training goes on from is none of ours."""
    fine = {
        "state_dict": all(isinstance(value, Tensor) for value in state["state_dict"].values()),
        "ema": all(isinstance(value, Tensor) for value in state.get("ema", {}).values()),
        "images_seen": _is_count(state["images_seen"]),
        "batches_seen": _is_count(state.get("batches_seen", 0)),
        "rows": all(map(_is_count, state.get("rows", {}).values())),
        "optimizer_options": all(
            isinstance(part["class"], str) and all(isinstance(group, dict) for group in part["groups"])
            for part in state["optimizer_options"]
        ),
        "optimizer_states": all(isinstance(part, dict) for part in state["optimizer_states"]),
        "loops": _are_counts(state["loops"]["fit_loop"]),
        "epoch": _is_count(state.get("epoch", 0)),
        "global_step": _is_count(state.get("global_step", 0)),
        "callbacks": isinstance(state["callbacks"], dict),
        "ranks": all(isinstance(part, dict) for part in state["ranks"]),
    }
    if odd := [name for name, good in fine.items() if not good]:
        raise ValueError(f"{', '.join(odd)} of another kind")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= IMAGE_LIMIT


def _are_counts(value: Any) -> bool:
    """Whether nested progress holds counts and truth values alone; what data loaders keep is theirs."""
    if isinstance(value, dict):
        return all(key == "combined_loader" or _are_counts(item) for key, item in value.items())
    return value is None or isinstance(value, bool) or _is_count(value)


def check_new(folder: Path) -> None:
    """Raise `UserError` where another run has begun in `folder` meanwhile."""
    if (folder / "config.yaml").exists():
        raise UserError(_exists(folder))


def _exists(folder: Path) -> str:
    return f"run.name is {folder.name}: {folder} exists already, want a new name or --run.resume same"


def rewind(folder: Path, config: str, begin: Start) -> None:
    """Bring a run folder to the moment of the checkpoint that it goes on from; the first process alone calls this.

    Training writes again what came later: no row of metrics is lost or doubled.
    """
    for path in begin.damaged:
        print(f"lightning-gen: {path} is damaged, going on from the one before", file=sys.stderr)
    if begin.checkpoint and begin.damaged:
        keep(
            begin.checkpoint, begin.damaged[0]
        )  # else the next checkpoint would keep the damaged one as the one before
    for torn in folder.rglob(".*.tmp"):  # of a writer that was killed
        torn.unlink(missing_ok=True)
    for path in row_files(folder):
        if path.exists():
            _drop_rows(path, begin)
    write_text(folder / "config.yaml", config)


def _check_same(path: Path, new: str, resume: Resume, begun: bool) -> None:
    """Raise where the configuration at `path` differs in what may not change: under "changed", and where the run has
    `begun`, in what would have no effect."""
    before, after = (flat(parse_yaml(text, f"config {path}")) for text in (read_text(path, "config"), new))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key) or key.startswith(_FREE):
            continue
        line = f"{key} is {after.get(key)}, but {before.get(key)} in {path}"
        if resume == "same":
            raise UserError(f"{line}: want the same configuration, or --run.resume changed")
        if begun and key in _FIXED:
            raise UserError(f"{line}: want the same, a resumed run goes on with its own")


def _all_damaged(folder: Path, damaged: list[Path]) -> str:
    best = folder / "checkpoints" / "best.ckpt"
    way = f"a copy of {best} as last.ckpt" if best.is_file() and is_whole(best) else "a copy of them from elsewhere"
    return f"run {folder}: {' and '.join(path.name for path in damaged)} damaged: want {way}, or another run.name"


def _check_shapes(checkpoint: Path, saved: dict[str, Tensor], module: LightningModule) -> None:
    wanted = module.state_dict()
    for name in sorted(saved.keys() | wanted.keys()):
        if name.endswith("_extra_state"):  # such as captions: as long as there are captions
            continue
        shapes = [tuple(state[name].shape) if name in state else "nothing" for state in (saved, wanted)]
        if shapes[0] != shapes[1]:
            found = f"it has {shapes[0]} for {name}, the model wants {shapes[1]}"
            raise UserError(f"checkpoint {checkpoint} is of another shape: {found}")


def _drop_rows(path: Path, begin: Start) -> None:
    """Drop the rows that training will write again.

    In the metrics they are those behind the length that the checkpoint knows: callbacks of the user log at moments of
    their own. Elsewhere they are those of later images: `lightning-gen evaluate` has appended rows too. Damaged lines
    are dropped, and told.
    """
    if not path.is_file():
        raise UserError(f"{path} is no ordinary file: want the rows of the run, or nothing")
    length = (begin.rows or {}).get(path.name, 0)
    if path.name == METRICS and path.stat().st_size >= length:
        with open(path, "rb") as stream:
            kept = stream.read(length)
        with atomic_write(path) as stream:
            stream.write(kept)
        return
    problems: list[str] = []
    rows = [row for row in read_rows(path, problems) if _is_before(row, begin)]
    for problem in problems:
        print(f"lightning-gen: {path.parent}: {problem}", file=sys.stderr)
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def _is_before(row: dict[str, Any], begin: Start) -> bool:
    """Whether a row was written before the checkpoint that the run goes on from."""
    seen = row.get("images_seen")
    return begin.checkpoint is not None and isinstance(seen, int) and seen <= begin.images_seen
