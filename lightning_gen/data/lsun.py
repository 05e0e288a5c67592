"""LSUN: scenes and objects, as the LMDB folders of its own downloader."""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, final

from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.decode import Frame
from lightning_gen.data.files import DEFAULT_LOADER, Catalogue, FileImages, Loader
from lightning_gen.data.folders import check_share, held_out
from lightning_gen.data.levels import Levels
from lightning_gen.data.sources import Joined, Source
from lightning_gen.errors import UserError

__all__ = ["LSUN", "Lmdb"]


@final
class Lmdb(Source):
    """Pictures in an LMDB folder, found by key.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.environment = _environment(str(path.resolve()))
        with self.environment.begin() as view:
            self.keys: list[bytes] = [bytes(key) for key in view.cursor().iternext(values=False)]
        self.names: Sequence[str] = [key.decode("utf-8", "replace") for key in self.keys]

    def read(self, index: int) -> bytes:
        with self.environment.begin() as view:
            return bytes(view.get(self.keys[index]))

    def checksums(self) -> Iterator[str]:
        return ("" for _ in self.keys)  # LSUN's keys are themselves hashes of the pictures


@lru_cache  # LMDB refuses to open one folder twice in a process
def _environment(path: str) -> Any:
    try:
        import lmdb
    except ImportError as error:
        raise UserError("data LSUN reads LMDB folders, lmdb is not installed: want pip install lmdb") from error
    try:
        return lmdb.open(path, readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise UserError(f"data.root holds {path}, which is no LMDB folder ({error}): want LSUN's") from error


@final
class LSUN(FileImages):
    """One category of LSUN (Yu et al. 2015); its official val (300 pictures) is val, test is cut from train.

    Args:
        category: e.g. ``church_outdoor``, ``bedroom``, ``cat``.
        root: folder that holds ``CATEGORY_train_lmdb`` and, where there is one, ``CATEGORY_val_lmdb``.
        size: height and width of the images, see `Frame`.
        levels: fewer than 256 (None: 256).
        share: of the training pictures, for test, and for val where the category has none.
        loader: see `FileImages`, as are `batch_size`, `seed`, `augment` and `on_device`.
    """

    def __init__(
        self,
        category: str = "church_outdoor",
        root: str = "data",
        size: int = 64,
        levels: Levels | None = None,
        share: float = 0.02,
        loader: Loader = DEFAULT_LOADER,
        batch_size: int = 64,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        check_share(share)
        super().__init__(Frame(size, 3), levels, loader, batch_size, seed, augment, on_device)
        self.category, self.root, self.share = category, Path(root).expanduser(), share

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"lsun_{self.category}"

    @cached_property
    def catalogue(self) -> Catalogue:
        splits: tuple[Split, ...] = ("train", "val")
        places = {split: self.root / f"{self.category}_{split}_lmdb" for split in splits}
        if not places["train"].is_dir():
            wanted = f"want {places['train'].name} there, from LSUN's own downloader"
            raise UserError(f"data.root is {self.root}, without {self.category}: {wanted}")
        parts: dict[Split, Source] = {split: Lmdb(place) for split, place in places.items() if place.is_dir()}
        names: dict[Split, list[str]] = {split: list(part.names) for split, part in parts.items()}
        return Catalogue(Joined(parts), {}, held_out(names, self.share, 0))
