"""Going on with a run: which checkpoint, whether it is still the same run, and a run folder as of that checkpoint."""

import json
import sys
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_gen.config.messages import flat
from lightning_gen.errors import UserError
from lightning_gen.files import read_json_lines, write_text
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
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True) if checkpoint else {}
    if checkpoint:
        _check_shapes(checkpoint, state["state_dict"], module)
        check_classes(module, state["optimizer_options"])
    rows = state.get("rows", {})
    return Start(False, checkpoint, state.get("images_seen", 0), rows, tuple(damaged))


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
    before, after = (flat(yaml.safe_load(text)) for text in (path.read_text(), new))
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
        shapes = [tuple(state[name].shape) if name in state else "nothing" for state in (saved, wanted)]
        if shapes[0] != shapes[1]:
            found = f"it has {shapes[0]} for {name}, the model wants {shapes[1]}"
            raise UserError(f"checkpoint {checkpoint} is of another shape: {found}")


def _drop_rows(path: Path, begin: Start) -> None:
    """Drop the rows that training will write again.

    In the metrics they are those behind the length that the checkpoint knows: callbacks of the user log at moments of
    their own. Elsewhere they are those of later images: `lightning-gen evaluate` has appended rows too.
    """
    length = (begin.rows or {}).get(path.name, 0)
    if path.name == METRICS and path.stat().st_size >= length:
        write_text(path, path.read_bytes()[:length].decode())
        return
    rows = [row for row in read_json_lines(path) if row["images_seen"] <= begin.images_seen and begin.checkpoint]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
