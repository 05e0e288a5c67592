"""Two domains of pictures without pairs: folders, classes of one set, and pairs whose pairing is hidden.

UnpairedRows     a picture of one domain beside a random one of the other
UnpairedImages   a set of two domains
"""

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import tee
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.files import DEFAULT_LOADER, Loader
from lightning_gen.data.folders import FolderImages, ImageFolder
from lightning_gen.data.layout import splits
from lightning_gen.data.levels import Levels
from lightning_gen.data.memory import IndexedImages
from lightning_gen.data.pairs import SideBySide
from lightning_gen.data.rows import MemoryRows, Rows
from lightning_gen.data.sources import Source
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

__all__ = ["HiddenPairs", "TwoClasses", "TwoFolders", "UnpairedImages", "UnpairedRows"]


@final
class UnpairedRows(Rows):
    """Pictures of two domains, N sources and M images, side by side in max(N, M) rows.

    Row i of the fixed order is source i mod N beside image i mod M. In an epoch of training every source is seen about
    equally often, each time beside an image that is drawn with replacement (Zhu et al. 2017, their code). An index from
    len(self) on stands for such a pair: len(self) + a * M + b is source a beside image b.

    Args:
        source: of the domain to translate from, with ``image``.
        image: of the domain to translate into.
    """

    def __init__(self, source: Rows, image: Rows) -> None:
        self.source, self.image = source, image

    def __len__(self) -> int:
        return max(len(self.source), len(self.image))

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Batch]:
        one, other = tee(indices)
        sources = self.source.batches(self._places(index)[0] for index in one)
        images = self.image.batches(self._places(index)[1] for index in other)
        for source, image in zip(sources, images, strict=True):
            yield {"image": image["image"], "source": source["image"]}

    def _places(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of rows -> those of their source and of their image, int64 (B,) each."""
        count, fixed, pair = len(self.image), index < len(self), index - len(self)
        source = torch.where(fixed, index % len(self.source), pair // count)
        return source, torch.where(fixed, index % count, pair % count)

    def epoch(self, generator: Generator, rank: int, world: int, batch_size: int) -> Iterator[Tensor]:
        count, sources = len(self), len(self.source)
        source = torch.cat([torch.randperm(sources, generator=generator) for _ in range(-(-count // sources))])[:count]
        image = torch.randint(len(self.image), (count,), generator=generator)
        order, total = count + source * len(self.image) + image, batch_size * world
        return (order[first : first + total][rank::world] for first in range(0, count - total + 1, total))

    def to(self, device: torch.device) -> "UnpairedRows":
        return UnpairedRows(self.source.to(device), self.image.to(device))


class UnpairedImages(IndexedImages):
    """A set of two domains; arguments as `IndexedImages`. A batch holds pictures of one as ``source`` and of the other
    as ``image``, which do not belong together."""

    @abstractmethod
    def domains(self, split: Split) -> tuple[Rows, Rows]:
        """Return the domain to translate from and the one to translate into, each with ``image``."""

    def rows(self, split: Split) -> UnpairedRows:
        return UnpairedRows(*self.domains(split))

    def paired_in(self, split: Split) -> bool:
        return False


class _FolderDomains(UnpairedImages):
    """Two domains of picture files.

    Args:
        source: of the domain to translate from.
        target: of the other one.
        batch_size: see `IndexedImages`, as are `seed`, `augment` and `on_device`.
    """

    def __init__(
        self,
        source: FolderImages,
        target: FolderImages,
        batch_size: int,
        seed: int,
        augment: Augmentation | None,
        on_device: bool,
    ) -> None:
        super().__init__(batch_size, seed, augment, on_device)
        self.source_set, self.target_set = source, target

    @property
    def spec(self) -> ImageSpec:
        target = self.target_set.spec
        return ImageSpec(*target.shape, target.levels, source=self.source_set.spec.alone())

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.source_set.name}2{self.target_set.name}"

    @cached_property
    def fingerprint(self) -> str:
        both = f"{self.source_set.fingerprint} {self.target_set.fingerprint}"
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def domains(self, split: Split) -> tuple[Rows, Rows]:
        return self.source_set.rows(split), self.target_set.rows(split)


@final
class TwoFolders(_FolderDomains):
    """Any two folders or zip files of pictures, of any counts. Each has its splits as `layout.splits` finds them.

    Args:
        source: folder or zip file of the domain to translate from.
        target: the same of the domain to translate into.
        size: see `FolderImages`, as are all others.
    """

    def __init__(
        self,
        source: str,
        target: str,
        size: int | None = None,
        channels: Literal[1, 3] | None = None,
        crop: int | None = None,
        levels: Levels | None = None,
        share: float = 0.1,
        split_seed: int = 0,
        loader: Loader = DEFAULT_LOADER,
        batch_size: int = 4,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        read: dict[str, Any] = {"size": size, "channels": channels, "crop": crop, "levels": levels, "share": share}
        read |= {"split_seed": split_seed, "loader": loader}
        if Path(source).expanduser().resolve() == Path(target).expanduser().resolve():
            raise UserError(f"data.source and data.target are both {source}: want two folders")
        one, other = (ImageFolder(root, **read) for root in (source, target))
        super().__init__(one, other, batch_size, seed, augment, on_device)


class _ClassFolder(FolderImages):
    """The pictures of one class; arguments as `FolderImages`.

    Args:
        folder: name of the class.
        argument: which gave it, for messages.
    """

    def __init__(self, root: str, folder: str, argument: str, **read: Any) -> None:
        self.folder, self.argument = folder, argument
        super().__init__(root, **read)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.folder

    @cached_property
    def _parts(self) -> Mapping[Split, Source]:
        parts = {split: (part, part.below(f"{self.folder}/")) for split, part in splits(self.root).items()}
        for split, (whole, own) in parts.items():
            if not own.names:
                known = ", ".join(sorted({name.partition("/")[0] for name in whole.names if "/" in name})[:20])
                what = f"want one of {known}" if known else "want folders of classes"
                raise UserError(f"data.{self.argument} is {self.folder}, no class of {self.root} in {split}: {what}")
        return {split: own for split, (_, own) in parts.items()}


@final
class TwoClasses(_FolderDomains):
    """Two classes of one set with a folder per class, such as horses and deer. The other classes are not decoded.

    Args:
        root: as of `ClassFolders`.
        source: class to translate from.
        target: class to translate into.
        size: see `FolderImages`, as are all others.
    """

    def __init__(
        self,
        root: str,
        source: str,
        target: str,
        size: int | None = None,
        channels: Literal[1, 3] | None = None,
        crop: int | None = None,
        levels: Levels | None = None,
        share: float = 0.1,
        split_seed: int = 0,
        loader: Loader = DEFAULT_LOADER,
        batch_size: int = 4,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        read: dict[str, Any] = {"size": size, "channels": channels, "crop": crop, "levels": levels, "share": share}
        read |= {"split_seed": split_seed, "loader": loader}
        if source == target:
            raise UserError(f"data.source and data.target are both {source}: want two classes")
        one, other = _ClassFolder(root, source, "source", **read), _ClassFolder(root, target, "target", **read)
        super().__init__(one, other, batch_size, seed, augment, on_device)


@final
class HiddenPairs(UnpairedImages):
    """Pictures whose halves show one scene, as two domains whose pairing the training does not see. In val and test the
    rows are the true pairs, so that the outputs can be compared with their targets.

    Args:
        root: see `SideBySide`, as are `size`, `source`, `share` and `split_seed`.
        batch_size: see `IndexedImages`, as are `seed`, `augment` and `on_device`.
    """

    def __init__(
        self,
        root: str,
        size: int = 128,
        source: Literal["left", "right"] = "right",
        share: float = 0.1,
        split_seed: int = 0,
        batch_size: int = 4,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        super().__init__(batch_size, seed, augment, on_device)
        self.pairs = SideBySide(root, source, size=size, share=share, split_seed=split_seed)

    @property
    def spec(self) -> ImageSpec:
        return self.pairs.spec

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.pairs.name}_unpaired"

    @property
    def fingerprint(self) -> str:
        return self.pairs.fingerprint

    def paired_in(self, split: Split) -> bool:
        return split != "train"

    def domains(self, split: Split) -> tuple[Rows, Rows]:
        columns = self.pairs.splits[split]
        source = torch.arange(len(columns["source"]))
        if split == "train":
            source = source.roll(1)
        return MemoryRows({"image": columns["source"]}, source), MemoryRows({"image": columns["image"]})
