"""Picture sets of the Hugging Face hub, or of a local folder that the library ``datasets`` reads."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

import torch

from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.decode import Frame
from lightning_gen.data.files import DEFAULT_LOADER, Catalogue, FileImages, Loader
from lightning_gen.data.folders import check_share, held_out
from lightning_gen.data.levels import Levels
from lightning_gen.data.rows import Column
from lightning_gen.data.sources import Joined, Source
from lightning_gen.errors import UserError

__all__ = ["Columns", "HubSet", "Splits"]

#: bytes that are read for the fingerprint, at most about this many
_READ_AT_MOST = 4 << 30


@final
class _HubSource(Source):
    """The encoded pictures of one split.

    Args:
        rows: a ``datasets.Dataset`` whose column `column` is an image that is not decoded.
        column: of the pictures.
    """

    def __init__(self, rows: Any, column: str) -> None:
        self.rows, self.column = rows.select_columns([column]), column
        self.names = [f"{i:09}" for i in range(len(rows))]

    def read(self, index: int) -> bytes:
        picture = self.rows[index][self.column]
        if picture is None:
            raise UserError(f"data.columns.image {self.column} has no picture in row {index}: want one in each row")
        return picture["bytes"] if picture["bytes"] is not None else Path(picture["path"]).read_bytes()

    def checksums(self) -> Iterator[str]:
        step = 1 + (self.rows.data.nbytes or 0) // _READ_AT_MOST  # of a large set, every few pictures
        return (f"{zlib.crc32(self.read(i)):08x}" if i % step == 0 else "" for i in range(len(self.names)))


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a set.

    Args:
        image: of the pictures.
        label: of the classes, a class label (None: no labels).
        text: of the captions (None: no captions).
    """

    image: str = "image"
    label: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Splits:
    """Names of the splits of a set.

    Args:
        train: of the training split.
        val: of the validation split (None: cut from train).
        test: of the test split (None: cut from train).
        share: of the training pictures, for each split that is cut from them, above 0, below 0.5.
    """

    train: str = "train"
    val: str | None = None
    test: str | None = None
    share: float = 0.1

    def __post_init__(self) -> None:
        check_share(self.share, "data.splits.share")


_COLUMNS, _SPLITS = Columns(), Splits()


@final
class HubSet(FileImages):
    """A set of pictures that the library ``datasets`` loads (``pip install lightning-gen[huggingface]``).

    Args:
        path: a set of the hub, such as ``ylecun/mnist``, or a local folder of parquet files or pictures.
        configuration: of the set, where it has several (None: its default).
        revision: commit or tag of the set on the hub: without one, numbers change when the set does.
        columns: their names.
        splits: their names, and the share of those that are cut from train.
        size: height and width of the images, see `Frame`, as `channels` and `crop`.
        channels: 1 grey, 3 RGB, None as the first picture.
        crop: side of the square that is cut from the middle before resizing (None: not).
        levels: fewer than 256 (None: 256).
        loader: see `FileImages`, as are `batch_size`, `seed`, `augment` and `on_device`.
    """

    def __init__(
        self,
        path: str,
        configuration: str | None = None,
        revision: str | None = None,
        columns: Columns = _COLUMNS,
        splits: Splits = _SPLITS,
        size: int | None = None,
        channels: Literal[1, 3] | None = None,
        crop: int | None = None,
        levels: Levels | None = None,
        loader: Loader = DEFAULT_LOADER,
        batch_size: int = 64,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        super().__init__(Frame(size, channels, crop), levels, loader, batch_size, seed, augment, on_device)
        self.path, self.configuration, self.revision = path, configuration, revision
        self.columns, self.share = columns, splits.share
        asked: dict[Split, str | None] = {"train": splits.train, "val": splits.val, "test": splits.test}
        self.split_names: dict[Split, str] = {split: name for split, name in asked.items() if name is not None}
        assert self._parts  # loads the set: a wrong name is refused at once

    @property
    def name(self) -> str:  # type: ignore[override]
        return Path(self.path).name

    @property
    def class_names(self) -> tuple[str, ...]:
        if self.columns.label is None:
            return ()
        return tuple(self._parts["train"].features[self.columns.label].names)

    @property
    def captioned(self) -> bool:
        return self.columns.text is not None

    @cached_property
    def _parts(self) -> dict[Split, Any]:
        datasets = _library()
        try:
            whole = datasets.load_dataset(self.path, self.configuration, revision=self.revision)
        except Exception as error:  # the library raises whatever its readers and its network do
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
            raise UserError(f"data.path is {self.path}, which cannot be loaded: {reason}") from error
        for name in self.split_names.values():
            if name not in whole:
                raise UserError(f"data.path {self.path} has no split {name}: want one of {', '.join(whole)}")
        parts = {split: whole[name] for split, name in self.split_names.items()}
        self._check_columns(parts["train"], datasets)
        return {
            split: part.cast_column(self.columns.image, datasets.Image(decode=False)) for split, part in parts.items()
        }

    def _check_columns(self, part: Any, datasets: Any) -> None:
        kinds = {
            self.columns.image: datasets.Image,
            self.columns.label: datasets.ClassLabel,
            self.columns.text: datasets.Value,
        }
        for column, kind in kinds.items():
            if column is not None and not isinstance(part.features.get(column), kind):
                wanted = [name for name, feature in part.features.items() if isinstance(feature, kind)]
                known = f"want one of {', '.join(wanted)}" if wanted else f"it has no column of type {kind.__name__}"
                raise UserError(f"data.path {self.path} has no {kind.__name__} column {column}: {known}")

    @cached_property
    def catalogue(self) -> Catalogue:
        sources: dict[Split, Source] = {s: _HubSource(part, self.columns.image) for s, part in self._parts.items()}
        names: dict[Split, list[str]] = {split: list(source.names) for split, source in sources.items()}
        columns: dict[str, Column] = {}
        if self.columns.label is not None:
            columns["label"] = torch.tensor(self._values(self.columns.label))
        if self.columns.text is not None:
            columns["text"] = [str(text) for text in self._values(self.columns.text)]
        return Catalogue(Joined(sources), columns, held_out(names, self.share, 0))

    def _values(self, column: str) -> list[Any]:
        return [value for part in self._parts.values() for value in part.select_columns([column])[:][column]]


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError("data HubSet needs datasets, which is not installed: want pip install datasets") from error
    return datasets
