"""Your own pictures with numbers that belong to each: from their file names, as in UTKFace, or from a table."""

import csv
import math
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch

from lightning_gen.data.files import Catalogue
from lightning_gen.data.folders import FolderImages
from lightning_gen.data.rows import Column
from lightning_gen.errors import UserError

__all__ = ["AttributeImages"]

#: fields of a picture by name, as text
Fields = Mapping[str, Sequence[str]]


@final
class AttributeImages(FolderImages):
    """Pictures with attributes, such as faces with age and gender. What lacks a number, or has a code out of range, is
    left out, and counted on stderr.

    Args:
        root: see `FolderImages`, as are the arguments that are not explained here.
        attributes: names of the numbers, in order. Without `table` they are the first parts of the file name, between
            underscores: ``[age, gender]`` reads 26 and 1 off ``26_1_0_2017.jpg``.
        categories: attributes that are codes 0..K-1, with K: each becomes K attributes ``NAME_0`` ... that are 1 or 0.
        table: CSV with a head: the first column the file name (as below `root`, or its last part), the others named as
            the attributes.

    Raises:
        UserError: no picture has its numbers; a table without a column.
    """

    def __init__(
        self,
        root: str,
        attributes: Sequence[str],
        categories: dict[str, int] | None = None,
        table: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.attributes, self.categories, self.table = list(attributes), dict(categories or {}), table
        unknown = sorted(set(self.categories) - set(self.attributes))
        if not self.attributes or unknown:
            raise UserError(f"data.categories has {', '.join(unknown) or 'nothing'}: want names of data.attributes")
        super().__init__(root, **kwargs)

    @property
    def attribute_names(self) -> tuple[str, ...]:
        found: list[str] = []
        for name in self.attributes:
            count = self.categories.get(name)
            found += [name] if count is None else [f"{name}_{code}" for code in range(count)]
        return tuple(found)

    @cached_property
    def _values(self) -> list[list[float] | None]:
        """Of each picture, one split after the other; None where a number is missing."""
        names = [name for part in self._parts.values() for name in part.names]
        fields = (
            _read_table(Path(self.table), self.attributes) if self.table else {name: _split(name) for name in names}
        )
        found = [self._numbers(fields.get(name, fields.get(name.rpartition("/")[2], ()))) for name in names]
        left_out = sum(row is None for row in found)
        if left_out == len(found):
            wanted = "want a row for each in the table" if self.table else f"want names like {self._example}"
            raise UserError(f"data.root is {self.root}: no picture has {', '.join(self.attributes)}; {wanted}")
        if left_out:
            print(f"lightning-gen: {left_out} pictures of {self.root} have no attributes, left out", file=sys.stderr)
        return found

    @property
    def _example(self) -> str:
        return "_".join(name.upper() for name in self.attributes) + "_....jpg"

    def _numbers(self, fields: Sequence[str]) -> list[float] | None:
        if len(fields) < len(self.attributes):
            return None
        row: list[float] = []
        for name, text in zip(self.attributes, fields, strict=False):
            try:
                value = float(text)
            except ValueError:
                return None
            count = self.categories.get(name)
            if not math.isfinite(value) or (count is not None and value not in range(count)):
                return None
            row += [value] if count is None else [float(value == code) for code in range(count)]
        return row

    @cached_property
    def catalogue(self) -> Catalogue:
        source, columns, splits = super().catalogue
        known = torch.tensor([row is not None for row in self._values])
        kept = {split: order[known[order]] for split, order in splits.items()}
        for split, order in kept.items():
            if not len(order):
                raise UserError(f"data.root is {self.root}: no picture of {split} has attributes, want some")
        return Catalogue(source, columns, kept)

    def _columns(self) -> dict[str, Column]:
        blank = [0.0] * len(self.attribute_names)
        return {"attributes": torch.tensor([row or blank for row in self._values])}


def _split(name: str) -> list[str]:
    return name.rpartition("/")[2].rpartition(".")[0].split("_")


def _read_table(path: Path, attributes: Sequence[str]) -> dict[str, list[str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            head, *rows = csv.reader(stream)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"data.table is {path}, which cannot be read: want a CSV with a head") from error
    missing = [name for name in attributes if name not in head[1:]]
    if missing:
        raise UserError(f"data.table is {path}, without a column {missing[0]}: want one for each attribute")
    places = [head.index(name, 1) for name in attributes]
    return {row[0]: [row[i] for i in places] for row in rows if len(row) == len(head)}
