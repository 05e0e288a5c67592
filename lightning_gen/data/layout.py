"""Where the splits of a set of picture files lie below its root. What is not understood is refused, never guessed."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_gen.contracts import Split
from lightning_gen.data.sources import WANTED, Source, tree
from lightning_gen.errors import UserError

__all__ = ["splits"]

_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_SAID: set[str] = set()


def splits(root: Path) -> Mapping[Split, Source]:
    """Return what `root` holds as train, val and test: sub-folders, or zip files beside each other.

    Capitals do not count (``Train``, ``TEST``), and folders that hold nothing but one folder are passed through. Where
    no folder is named like a split, all pictures are ``train``.

    Files that are no pictures are counted, and named on standard error.

    Raises:
        UserError: see `tree`; there is no picture; a split lies in two places, or val and test without train; pictures
            lie beside the splits; or splits lie inside other folders, such as those of classes.
    """
    whole = tree(root)
    packed = _packed(root)
    _say_left_out(Counter(whole.left_out) - Counter({".zip": len(packed)}), root)
    if not whole.names and not packed:
        raise UserError(f"data.root is {root}: {WANTED}")
    found = _found(_descend(whole), packed, root)
    found = _descend_together({split: _own_folder(part, split) for split, part in found.items()})
    for split, part in found.items():
        _check_no_splits_inside(part, root)
        if not part.names:
            raise UserError(f"data.root is {root}, whose {split} holds no picture: {WANTED}")
    return found


def _split_of(folder: str) -> Split | None:
    return next((split for split, names in _FOLDERS.items() if folder.lower() in names), None)


def _packed(root: Path) -> dict[str, Source]:
    """Return the zip files named like splits in a folder, by name without ending, but for those unpacked beside."""
    if not root.is_dir():
        return {}
    inner = {path.name for path in root.iterdir() if path.is_dir()}
    files = (path for path in sorted(root.iterdir()) if path.suffix.lower() == ".zip" and path.is_file())
    return {path.stem: tree(path) for path in files if _split_of(path.stem) and path.stem not in inner}


def _found(whole: Source, packed: Mapping[str, Source], root: Path) -> dict[Split, Source]:
    tops = {name.partition("/")[0] for name in whole.names if "/" in name}
    named = {top: split for top in sorted({*tops, *packed}) if (split := _split_of(top))}
    if not named:
        return {"train": whole}
    _check_named(whole.names, named, root)
    places = {split: top for top, split in named.items()}
    order: Sequence[Split] = [split for split in _FOLDERS if split in places]
    return {split: packed.get(places[split]) or whole.below(f"{places[split]}/") for split in order}


def _check_named(names: Sequence[str], named: Mapping[str, Split], root: Path) -> None:
    for split in _FOLDERS:
        twice = [top for top in named if named[top] == split]
        if len(twice) > 1:
            raise UserError(f"data.root is {root}, which holds {' and '.join(twice)}: want one place for {split}")
    if "train" not in named.values():
        raise UserError(f"data.root is {root}, which holds {' and '.join(named)}, but no train: want train beside it")
    beside = [name for name in names if name.partition("/")[0] not in named]
    if beside:
        counted = f"{len(beside)} picture{'s' if len(beside) > 1 else ''} beside, such as {beside[0]}"
        raise UserError(f"data.root is {root}, which holds {', '.join(named)} and {counted}: want all in the splits")


def _only_folder(source: Source) -> str | None:
    """Return the folder in which all pictures lie; None where there is no such one."""
    tops = {name.partition("/")[0] for name in source.names}
    return tops.pop() if len(tops) == 1 and all("/" in name for name in source.names) else None


def _passes(source: Source, folder: str | None) -> bool:
    """Whether `folder`, the only one, holds folders alone: it tells nothing of the pictures, as a class would."""
    return folder is not None and all(name.count("/") > 1 for name in source.names)


def _descend(source: Source) -> Source:
    while (folder := _only_folder(source)) and _split_of(folder) is None and _passes(source, folder):
        source = source.below(f"{folder}/")
    return source


def _own_folder(source: Source, split: Split) -> Source:
    """Pass through a folder named like the split: ``train.zip`` often holds ``train/``."""
    while (folder := _only_folder(source)) and _split_of(folder) == split:
        source = source.below(f"{folder}/")
    return source


def _descend_together(parts: dict[Split, Source]) -> dict[Split, Source]:
    """Pass through a folder that is the only one in every split, so that classes stay the same in all."""
    while len(folders := {_only_folder(part) for part in parts.values()}) == 1:
        folder = folders.pop()
        if folder is None or _split_of(folder) or not all(_passes(part, folder) for part in parts.values()):
            break
        parts = {split: part.below(f"{folder}/") for split, part in parts.items()}
    return parts


def _check_no_splits_inside(source: Source, root: Path) -> None:
    inside: dict[str, set[Split]] = {}
    for folder in {name.rpartition("/")[0] for name in source.names}:
        parts = folder.split("/")
        for depth, part in enumerate(parts):
            if split := _split_of(part):
                inside.setdefault("/".join(parts[:depth]), set()).add(split)
    for folder, found in sorted(inside.items()):
        if "train" in found and len(found) > 1:
            listed = " and ".join(split for split in _FOLDERS if split in found)
            place = f"below {folder}" if folder else "below one of its splits"
            raise UserError(
                f"data.root is {root}, which holds {listed} {place}: want them at the top, as train/{folder}"
            )


@rank_zero_only
def _say_left_out(left_out: Counter[str], root: Path) -> None:
    """Say once, on standard error, how many files are left out, by ending."""
    if left_out and str(root) not in _SAID:
        _SAID.add(str(root))
        kinds = ", ".join(f"{count} {ending}" for ending, count in sorted(left_out.items())[:8])
        shown = kinds.encode("utf-8", "backslashreplace").decode()
        print(f"lightning-gen: data.root {root}: files that are no pictures are left out: {shown}", file=sys.stderr)
