"""Faces of celebrities with 40 attributes."""

from functools import cached_property
from pathlib import Path
from typing import final

import torch

from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.decode import Frame
from lightning_gen.data.downloads import fetch
from lightning_gen.data.files import DEFAULT_LOADER, Catalogue, FileImages, Loader
from lightning_gen.data.levels import Levels
from lightning_gen.data.sources import Folder, Part, Source, Zip
from lightning_gen.errors import UserError

__all__ = ["CELEBA_ATTRIBUTES", "CelebA"]

# fmt: off
CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips",
    "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
    "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open",
    "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline",
    "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)
# fmt: on
_SPLITS: tuple[Split, ...] = ("train", "val", "test")  # 0, 1 and 2 in list_eval_partition.txt
_WANTED = "want celeba/ with img_align_celeba (folder or zip), list_attr_celeba.txt and list_eval_partition.txt there"


@final
class CelebA(FileImages):
    """202,599 aligned faces, 178x218 JPEG, with 40 attributes, 1 or 0 (Liu et al. 2015), in the official splits.

    Args:
        root: folder that holds ``celeba``, as torchvision leaves it, or that folder itself.
        download: fetch the files with torchvision where they are missing; one process does, others wait.
        size: height and width of the images, see `Frame`.
        crop: side of the square that is cut from the middle before resizing; 148 is usual, 178 the whole width.
        levels: fewer than 256 (None: 256).
        loader: see `FileImages`, as are `batch_size`, `seed`, `augment` and `on_device`.
    """

    def __init__(
        self,
        root: str = "data",
        download: bool = False,
        size: int = 64,
        crop: int | None = 148,
        levels: Levels | None = None,
        loader: Loader = DEFAULT_LOADER,
        batch_size: int = 64,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        super().__init__(Frame(size, 3, crop), levels, loader, batch_size, seed, augment, on_device)
        self.root, self.download = Path(root).expanduser(), download

    @property
    def name(self) -> str:  # type: ignore[override]
        return "celeba"

    @property
    def attribute_names(self) -> tuple[str, ...]:
        return CELEBA_ATTRIBUTES

    def prepare_data(self) -> None:
        """Download what is missing. Lightning calls this in one process of each machine; the others wait."""
        if self.download:
            assert self.catalogue

    @cached_property
    def catalogue(self) -> Catalogue:
        if self._folder is None and self.download:
            fetch(self.name, self.root, self._fetch)
        folder = self._folder
        if folder is None:
            raise UserError(f"data.root is {self.root}, without celeba: {_WANTED}, or data.download true")
        source = _pictures(folder)
        part = _table(folder / "list_eval_partition.txt", 0)
        attributes = _table(folder / "list_attr_celeba.txt", 2)
        here = set(source.names)
        if here != part.keys() or here != attributes.keys():
            counts = f"{len(here)} pictures, {len(part)} of them in a split, {len(attributes)} with attributes"
            raise UserError(f"{folder} has {counts}: want the same pictures in all three")
        values = torch.tensor([[value == "1" for value in attributes[name]] for name in source.names]).float()
        number = torch.tensor([int(part[name][0]) for name in source.names])
        return Catalogue(
            source, {"attributes": values}, {s: torch.where(number == i)[0] for i, s in enumerate(_SPLITS)}
        )

    @property
    def _folder(self) -> Path | None:
        places = (self.root / "celeba", self.root)
        return next((p for p in places if (p / "list_attr_celeba.txt").is_file()), None)

    def _fetch(self) -> None:
        from torchvision.datasets import CelebA as Torchvision

        Torchvision(str(self.root), download=True)


def _pictures(folder: Path) -> Source:
    if (folder / "img_align_celeba").is_dir():
        return Folder(folder / "img_align_celeba")
    if (folder / "img_align_celeba.zip").is_file():
        return Part(Zip(folder / "img_align_celeba.zip"), "img_align_celeba/")
    raise UserError(f"data.root is {folder}, without img_align_celeba: {_WANTED}")


def _table(path: Path, skip: int) -> dict[str, list[str]]:
    """Name -> values, a picture per line after `skip` lines of head."""
    if not path.is_file():
        raise UserError(f"data.root is {path.parent}, without {path.name}: {_WANTED}")
    lines = path.read_text().splitlines()
    table = {name: values for name, *values in (line.split() for line in lines[skip:] if line.strip())}
    width = len(CELEBA_ATTRIBUTES) if skip else 1
    right_head = not skip or tuple(lines[1].split()) == CELEBA_ATTRIBUTES
    if not table or not right_head or any(len(values) != width for values in table.values()):
        raise UserError(f"{path} is not CelebA's table of {width} columns: {_WANTED}")
    return table
