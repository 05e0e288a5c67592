"""Your own pictures: any folder or zip file of them, with or without a folder per class."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.captions import CaptionFiles, CaptionTable, captions_of
from lightning_gen.data.decode import Frame
from lightning_gen.data.files import DEFAULT_LOADER, Catalogue, FileImages, Loader
from lightning_gen.data.layout import splits
from lightning_gen.data.levels import Levels
from lightning_gen.data.rows import Column
from lightning_gen.data.sources import Joined, Source
from lightning_gen.errors import UserError

__all__ = ["CaptionedFolder", "ClassFolders", "FolderImages", "ImageFolder", "check_share", "held_out"]


def check_share(share: float, name: str = "data.share") -> None:
    """Raise where `share`, for `held_out`, is not above 0 and below 0.5."""
    if not 0 < share < 0.5:
        raise UserError(f"{name} is {share}: want above 0 and below 0.5")


def held_out(names: Mapping[Split, list[str]], share: float, split_seed: int) -> dict[Split, Tensor]:
    """Which pictures are in each split: those that `names` lacks are cut from ``train``.

    A picture's place follows from a hash of its name: adding pictures moves few others, and the first pictures of a
    split are a fair sample of it, not those of the first class.

    Args:
        names: of the pictures of each split that exists, ``train`` at least.
        share: of ``train`` that goes to each missing split, at least one picture.
        split_seed: each value is another cut.

    Returns:
        Int64 indices into the pictures of all splits, one split after the other.

    Raises:
        UserError: `train` has too few pictures.
    """
    missing: list[Split] = [split for split in ("val", "test") if split not in names]
    if len(names["train"]) <= len(missing):
        raise UserError(f"data.root has {len(names['train'])} pictures to train on: want at least {len(missing) + 1}")
    found: dict[Split, Tensor] = {}
    first = 0
    for split, part in names.items():
        found[split] = first + torch.tensor(_hashed_order(part, split_seed))
        first += len(part)
    count = max(1, int(share * len(names["train"])))
    for split in missing:
        found[split], found["train"] = found["train"][:count], found["train"][count:]
    return found


def _hashed_order(names: list[str], split_seed: int) -> list[int]:
    keys = [hashlib.sha256(f"{split_seed} {name}".encode()).digest() for name in names]
    return sorted(range(len(names)), key=keys.__getitem__)


class FolderImages(FileImages):
    """Pictures below a root.

    Args:
        root: a folder, searched through all sub-folders, or a zip file. Where it holds ``train`` (and ``val``,
            ``test``) as sub-folders or zip files, those are the splits; see `layout.splits`.
        size: height and width of the images: the shorter side is resized to it (Lanczos, smaller pictures are
            enlarged) and the middle is kept. None: pictures stay as they are, and must all be of one size.
        channels: 1 makes grey, 3 makes RGB; None: as the first picture.
        crop: side of the square that is cut from the middle before resizing (None: not).
        levels: fewer than 256, as a class of ``lightning_gen.data.levels`` (None: 256).
        share: of the training pictures, for each of val and test that the root does not hold, above 0, below 0.5.
        split_seed: each value is another cut into splits.
        loader: how the files are decoded.
        batch_size: images per process and batch.
        seed: of the order and the augmentation of the training images; the splits are the same for every seed.
        augment: changes training images at random (None: not).
        on_device: keep the training images on the accelerator where they fill at most a quarter of what is free.
    """

    def __init__(
        self,
        root: str,
        size: int | None = None,
        channels: Literal[1, 3] | None = None,
        crop: int | None = None,
        levels: Levels | None = None,
        share: float = 0.1,
        split_seed: int = 0,
        loader: Loader = DEFAULT_LOADER,
        batch_size: int = 64,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        check_share(share)
        super().__init__(Frame(size, channels, crop), levels, loader, batch_size, seed, augment, on_device)
        self.root, self.share, self.split_seed = Path(root).expanduser(), share, split_seed
        assert self.catalogue.splits  # a wrong root is refused at once
        assert self.spec

    @property
    def name(self) -> str:  # type: ignore[override]
        root = self.root.resolve()
        return root.name if root.is_dir() else root.stem

    @cached_property
    def _parts(self) -> Mapping[Split, Source]:
        return splits(self.root)

    @cached_property
    def catalogue(self) -> Catalogue:
        names: dict[Split, list[str]] = {split: list(part.names) for split, part in self._parts.items()}
        source = Joined(self._parts) if len(names) > 1 else self._parts["train"]
        return Catalogue(source, self._columns(), held_out(names, self.share, self.split_seed))

    def _columns(self) -> dict[str, Column]:
        """What belongs to each picture, one split after the other."""
        return {}


@final
class ImageFolder(FolderImages):
    """Any pictures, without labels; arguments as `FolderImages`."""


@final
class ClassFolders(FolderImages):
    """Pictures with a folder per class, the first folder of each path; arguments as `FolderImages`."""

    @cached_property
    def _classes(self) -> list[str]:
        found = {split: [_class_of(name, self.root) for name in part.names] for split, part in self._parts.items()}
        for split, classes in found.items():
            unknown = sorted(set(classes) - set(found["train"]))
            if unknown:
                what = f"{split} has the class folder {unknown[0]}, train does not"
                raise UserError(f"data.root is {self.root}: {what}; want the classes of train in each split")
        return [name for classes in found.values() for name in classes]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(sorted(set(self._classes)))

    def _columns(self) -> dict[str, Column]:
        number = {name: i for i, name in enumerate(self.class_names)}
        return {"label": torch.tensor([number[name] for name in self._classes])}


@final
class CaptionedFolder(FolderImages):
    """Pictures with captions, one or several each. In training one of a picture's captions is drawn each time; in val
    and test it is the first.

    Args:
        root: see `FolderImages`, as are all but `captions`. The captions lie in the same folder or zip file.
        captions: where they are, and how they are read.

    Raises:
        UserError: a picture has no caption.
    """

    def __init__(self, root: str, captions: CaptionFiles | None = None, **kwargs: Any) -> None:
        self.caption_files = captions or CaptionTable()
        super().__init__(root, **kwargs)

    @property
    def captioned(self) -> bool:
        return True

    @cached_property
    def _texts(self) -> list[str]:
        found = self.caption_files.read(self.root)
        return captions_of([name for part in self._parts.values() for name in part.names], found, self.root)

    def _columns(self) -> dict[str, Column]:
        return {"text": self._texts}

    def captions(self, split: Split) -> Iterator[str]:
        for index in self.catalogue.splits[split].tolist():
            yield from self._texts[index].split("\n")


def _class_of(name: str, root: Path) -> str:
    folder, slash, _ = name.partition("/")
    if not slash:
        raise UserError(f"data.root is {root}: picture {name} lies in no class folder, want one folder per class")
    return folder
