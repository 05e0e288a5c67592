"""A folder of pictures, and the files that are made of them: names kept, nothing overwritten."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lightning_gen.data.sources import WANTED, Folder, Source, tree
from lightning_gen.errors import UserError
from lightning_gen.files import check_folder

__all__ = ["Job", "plan"]


class Job(NamedTuple):
    """One picture: where its bytes are, and the files that are made of it."""

    source: Source
    place: int
    targets: list[Path]

    @property
    def name(self) -> str:
        """Name of the picture below its folder."""
        return self.source.names[self.place]


def plan(pictures: Path, out: Path, outputs: int = 1) -> list[Job]:
    """Say which file each picture of a folder, or one picture, becomes: ``sub/a.jpg`` becomes ``OUT/sub/a.png``.

    Pictures whose names differ in the ending alone keep it: ``a.jpg.png`` and ``a.png.png``. With several outputs,
    ``a-1.png``, ``a-2.png`` ...

    Args:
        pictures: folder, searched through its sub-folders, zip file, or one picture.
        out: folder to write into.
        outputs: files per picture.

    Raises:
        UserError: there is no picture; `out` is a file, the folder of the pictures, or inside it; a file is there
            already; two pictures would become one file; or the name of one leads out of `out`.
    """
    source = _found(pictures)
    check_folder("--out", out)
    inside = pictures if pictures.is_dir() else None
    if inside and out.resolve().is_relative_to(inside.resolve()):
        raise UserError(f"--out {out} lies in the folder of the pictures, {inside}: want another folder")
    names = _names(source.names)
    for name in source.names:
        _check_inside(name, pictures)
    jobs = [Job(source, i, [out / part for part in _numbered(name, outputs)]) for i, name in enumerate(names)]
    _check_free(jobs)
    return jobs


def _check_inside(name: str, pictures: Path) -> None:
    """Raise where a name, of a zip file of somebody else, leads out of the folder that is written into."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"pictures {pictures} hold the name {name}, which leads out of a folder: want it without ..")


def _found(pictures: Path) -> Source:
    if pictures.is_file() and pictures.suffix.lower() != ".zip":
        return Folder(pictures.parent, [pictures.name])
    if not pictures.exists():
        raise UserError(f"pictures {pictures} do not exist: {WANTED}")
    found = tree(pictures)
    if not found.names:
        raise UserError(f"pictures {pictures} hold no picture: {WANTED}")
    return found


def _names(names: Sequence[str]) -> list[str]:
    """The name of the output of each picture."""
    listed = [PurePosixPath(name) for name in names]
    alike = defaultdict(list)
    for path in listed:
        alike[str(path.with_suffix("")).casefold()].append(path)  # some file systems know no capitals
    kept = {path for paths in alike.values() if len(paths) > 1 for path in paths}
    return [f"{path if path in kept else path.with_suffix('')}.png" for path in listed]


def _numbered(name: str, outputs: int) -> list[str]:
    if outputs == 1:
        return [name]
    stem, width = name.removesuffix(".png"), len(str(outputs))
    return [f"{stem}-{k:0{width}d}.png" for k in range(1, outputs + 1)]


def _check_free(jobs: list[Job]) -> None:
    taken: dict[str, Job] = {}
    for job in jobs:
        for target in job.targets:
            if target.exists() or target.is_symlink():
                raise UserError(f"{target} exists already: want --out without it")
            other = taken.setdefault(str(target).casefold(), job)
            if other is not job:
                raise UserError(f"{other.name} and {job.name} would both become {target}: want other names")
