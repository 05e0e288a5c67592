"""Pairs of a source and an image in picture files: halves of one picture, and two folders of equal names."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, final

import torch
from PIL import Image
from torch import Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.decode import open_picture
from lightning_gen.data.folders import check_share, held_out
from lightning_gen.data.layout import splits
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.data.sides import SEARCHED, Photo, Side
from lightning_gen.data.sources import Source
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["FilePairs", "FolderPairs", "PairFile", "SideBySide", "opener"]


class PairFile(NamedTuple):
    """One pair before it is decoded: its name, and what opens its source and its image."""

    name: str
    open: Callable[[], tuple[Image.Image, Image.Image]]


class FilePairs(MemoryImages):
    """Pairs in picture files. Both sides are resized alike and, in training, augmented alike. All pictures are decoded
    at once.

    Args:
        size: height and width in pixels of both sides, one number or two.
        share: of the training pairs, for each split that is cut from them, above 0, below 0.5.
        split_seed: of that cut.
        batch_size: pairs per process and batch.
        seed: of the order and the augmentation of the training pairs.
        augment: the same change of both sides (None: none).
        on_device: see `IndexedImages`.
        read_source: what the source pictures become (None: `Photo`).
        read_image: what the target pictures become (None: `Photo`).
    """

    def __init__(
        self,
        size: int | list[int] = 128,
        share: float = 0.1,
        split_seed: int = 0,
        batch_size: int = 4,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
        read_source: Side | None = None,
        read_image: Side | None = None,
    ) -> None:
        check_share(share)
        sides = [size, size] if isinstance(size, int) else list(size)
        if len(sides) != 2:
            raise UserError(f"data.size is {size}: want one number, or height and width")
        for side in sides:
            check_counts("data", size=side)
        super().__init__(batch_size, seed, augment, on_device)
        self.sides = (sides[0], sides[1])
        self.read_source, self.read_image = read_source or Photo(), read_image or Photo()
        self.share, self.split_seed = share, split_seed
        assert self._listed  # a wrong root is refused at once

    @property
    @abstractmethod
    def pairs(self) -> Mapping[Split, list[PairFile]]:
        """The pairs of each split that there is, ``train`` at least; without decoding."""

    @cached_property
    def _listed(self) -> list[PairFile]:
        return [pair for part in self.pairs.values() for pair in part]

    @cached_property
    def _places(self) -> dict[Split, Tensor]:
        names: dict[Split, list[str]] = {split: [pair.name for pair in part] for split, part in self.pairs.items()}
        return held_out(names, self.share, self.split_seed)

    @cached_property
    def spec(self) -> ImageSpec:  # type: ignore[override]
        training = [self._listed[i] for i in self._places["train"][:SEARCHED].tolist()]
        self.read_source.learn(pair.open()[0] for pair in training)
        self.read_image.learn(pair.open()[1] for pair in training)
        image = self.read_image.spec(*self.sides)
        return ImageSpec(*image.shape, image.levels, source=self.read_source.spec(*self.sides), palette=image.palette)

    def load(self) -> Mapping[Split, dict[str, Column]]:
        assert self.spec  # the sides have learned
        both = [self._decoded(pair) for pair in self._listed]
        source, image = (torch.stack(side) for side in zip(*both, strict=True))
        return {split: {"image": image[index], "source": source[index]} for split, index in self._places.items()}

    def _decoded(self, pair: PairFile) -> tuple[Tensor, Tensor]:
        source, image = pair.open()
        return self.read_source(source, *self.sides, pair.name), self.read_image(image, *self.sides, pair.name)


@final
class SideBySide(FilePairs):
    """Pictures whose left and right half show the same scene, as the sets of Pix2Pix come: facades, maps, edges.

    Args:
        root: folder or zip file of pictures, with or without ``train``, ``val`` and ``test`` in it.
        source: which half is translated into the other; the other arguments are those of `FilePairs`.

    Raises:
        UserError: no pictures, or one of an odd width.
    """

    def __init__(self, root: str, source: Literal["left", "right"] = "right", **kwargs: Any) -> None:
        self.root, self.source_half = Path(root).expanduser(), source
        super().__init__(**kwargs)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.root.resolve().stem

    @cached_property
    def pairs(self) -> Mapping[Split, list[PairFile]]:  # type: ignore[override]
        return {
            split: [PairFile(name, self._opener(part, i, name)) for i, name in enumerate(part.names)]
            for split, part in splits(self.root).items()
        }

    def _opener(self, part: Source, index: int, name: str) -> Callable[[], tuple[Image.Image, Image.Image]]:
        def halves() -> tuple[Image.Image, Image.Image]:
            picture = open_picture(part.read(index), name)
            if picture.width % 2:
                raise UserError(f"picture {name} is {picture.width} pixels wide: want two halves of equal width")
            middle, height = picture.width // 2, picture.height
            left, right = picture.crop((0, 0, middle, height)), picture.crop((middle, 0, picture.width, height))
            return (left, right) if self.source_half == "left" else (right, left)

        return halves


@final
class FolderPairs(FilePairs):
    """Two folders in which pictures of equal names, but for the ending, are pairs.

    Args:
        sources: folder or zip file of the sources, with or without ``train``, ``val`` and ``test`` in it.
        images: the same of their targets; the other arguments are those of `FilePairs`.

    Raises:
        UserError: a picture has no partner; two pictures of a folder have one name; the folders have other splits.
    """

    def __init__(self, sources: str, images: str, **kwargs: Any) -> None:
        self.roots = Path(sources).expanduser(), Path(images).expanduser()
        super().__init__(**kwargs)

    @property
    def name(self) -> str:  # type: ignore[override]
        source, image = (root.resolve().stem for root in self.roots)
        return f"{source}_to_{image}"

    @cached_property
    def pairs(self) -> Mapping[Split, list[PairFile]]:  # type: ignore[override]
        sources, images = (splits(root) for root in self.roots)
        if sources.keys() != images.keys():
            have = f"{', '.join(sources)} and {', '.join(images)}"
            raise UserError(f"data.sources and data.images have the splits {have}: want the same in both")
        return {split: list(self._matched(sources[split], images[split])) for split in sources}

    def _matched(self, sources: Source, images: Source) -> Iterator[PairFile]:
        first, second = (_by_stem(part, root) for part, root in zip((sources, images), self.roots, strict=True))
        alone = sorted(first.keys() ^ second.keys())
        if alone:
            owner, other = self.roots if alone[0] in first else self.roots[::-1]
            have = "pictures have" if len(alone) > 1 else "picture has"
            missing = f"{len(alone)} {have} no partner, such as {alone[0]} of {owner}, which {other} lacks"
            raise UserError(f"{missing}: want equal names in data.sources and data.images")
        for stem in sorted(first):
            yield PairFile(stem, opener(sources, first[stem], images, second[stem]))


def opener(sources: Source, i: int, images: Source, j: int) -> Callable[[], tuple[Image.Image, Image.Image]]:
    """Make what opens picture `i` of the sources and picture `j` of the images."""
    return lambda: (
        open_picture(sources.read(i), sources.names[i]),
        open_picture(images.read(j), images.names[j]),
    )


def _by_stem(part: Source, root: Path) -> dict[str, int]:
    """The number of each picture by its path without ending."""
    found: dict[str, int] = {}
    for i, name in enumerate(part.names):
        stem = str(PurePosixPath(name).with_suffix(""))
        if stem in found:
            raise UserError(f"{root} holds {part.names[found[stem]]} and {name}: want one picture of each name")
        found[stem] = i
    return found
