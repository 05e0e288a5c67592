"""Pairs as a table of picture files lists them."""

import csv
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

from lightning_gen.contracts import Split
from lightning_gen.data.pairs import FilePairs, PairFile, opener
from lightning_gen.data.sources import Folder
from lightning_gen.errors import UserError

__all__ = ["TablePairs"]


@final
class TablePairs(FilePairs):
    """Pairs as a table lists them.

    Args:
        table: CSV with a first line that names the columns ``source``, ``image`` and, where splits are given,
            ``split`` (train, val or test): paths from the folder of the table, inside which the pictures lie;
            the other arguments are those of `FilePairs`.

    Raises:
        UserError: no such table, column or picture.
    """

    def __init__(self, table: str, **kwargs: Any) -> None:
        self.table = Path(table).expanduser()
        super().__init__(**kwargs)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.table.resolve().stem

    @cached_property
    def pairs(self) -> Mapping[Split, list[PairFile]]:  # type: ignore[override]
        found: dict[Split, list[PairFile]] = {}
        for split, source, image in _rows(self.table):
            files = Folder(self.table.parent, [source, image])
            found.setdefault(split, []).append(PairFile(f"{source} and {image}", opener(files, 0, files, 1)))
        if "train" not in found:
            raise UserError(f"data.table {self.table} lists no pair to train on: want rows (of split train, if any)")
        return found


def _rows(table: Path) -> Iterator[tuple[Split, str, str]]:
    """Split, source and image of each row."""
    if not table.is_file():
        raise UserError(f"data.table is {table}, which is no file: want a CSV with columns source and image")
    try:
        with open(table, newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"data.table {table} cannot be read ({error}): want a CSV in UTF-8") from error
    for number, row in enumerate(rows, 2):
        split = (row.get("split") or "train").strip().lower()
        paths = [str(row.get(column) or "").strip() for column in ("source", "image")]
        if not all(paths) or split not in ("train", "val", "test"):
            raise UserError(
                f"data.table {table}, line {number}: want source, image, and split train, val or test if any"
            )
        for path in paths:
            _check_below(table.parent, path, f"data.table {table}, line {number}")
        yield split, *paths  # type: ignore[misc]


def _check_below(folder: Path, path: str, where: str) -> None:
    place, top = (folder / path).resolve(), folder.resolve()
    if not place.is_relative_to(top):
        raise UserError(f"{where}: {path} leads out of the folder of the table: want pictures below it")
    if not place.is_file():
        raise UserError(f"{where}: there is no picture {path}: want a path from the folder of the table")
