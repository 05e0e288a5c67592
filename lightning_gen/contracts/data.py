"""A data set: its spec, fingerprint, splits and loaders; and one of large pictures beside small ones."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, NamedTuple

from lightning.pytorch import LightningDataModule
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.images import ImageSpec

__all__ = ["DescribedAttribute", "DescribedData", "ImageData", "Split", "SuperResolutionData"]


Split = Literal["train", "val", "test"]


class ImageData(LightningDataModule, ABC):
    """A set of images in three fixed splits."""

    @property
    @abstractmethod
    def spec(self) -> ImageSpec:
        """Known as soon as the object exists, before any download or decoding of the whole set."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """16 hex digits over the pixels, labels and splits: two numbers are comparable only when these agree."""

    @property
    @abstractmethod
    def name(self) -> str:  # type: ignore[override]
        """Short name for tables, e.g. ``digits``."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """What each value of ``label`` means; empty for a set without labels."""
        return ()

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """What each column of ``attributes`` means; empty for a set without attributes."""
        return ()

    def paired_in(self, split: Split) -> bool:
        """Say whether ``image`` is the true counterpart of ``source``, row by row: only then can outputs be compared
        with targets pixel by pixel."""
        return self.spec.source is not None

    @property
    def exact_names(self) -> tuple[str, ...]:
        """What `exact` measures; empty for a set that does not know how its pictures were made."""
        return ()

    def exact(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Measure translations by what the set knows of how its pictures were made.

        Args:
            output: uint8 (B, C, H, W), the translation of each source.
            batch: rows of a split that is paired, with ``source`` and ``image``.

        Returns:
            float (B,) for each of `exact_names`; higher is better.
        """
        return {}

    @property
    def modes(self) -> tuple[Tensor, float] | None:
        """Modes of a set that is a mixture known beforehand: signed centres, float (K, C, H, W), and the Euclidean
        distance
        from its centre within which an image belongs to a mode; None for any other set."""
        return None

    @property
    def probabilities(self) -> Tensor | None:
        """Where the probability of every image of two pixels is known: float64 (levels, levels), the first pixel down;
        None for any other set."""
        return None

    def captions(self, split: Split) -> Iterator[str]:
        """Yield all captions of `split`, also several of one picture; none for a set without."""
        if self.spec.text:
            for batch in self.batches(split, 256):
                yield from batch["text"]

    @abstractmethod
    def size(self, split: Split) -> int:
        """Return the number of images of `split`."""

    @abstractmethod
    def batches(self, split: Split, batch_size: int, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Yield images `start` to `stop` of `split`, in their fixed order, without augmentation, as CPU batches."""


class SuperResolutionData(ImageData):
    """Large pictures and small ones that are made of them. The rows of a split are crops of one size, made for training
    and for distances of sets; the pictures have sizes of their own, and numbers of pairs are of whole pictures."""

    @property
    @abstractmethod
    def scale(self) -> int:
        """Pixels of the image per pixel of the source, along each side."""

    @property
    @abstractmethod
    def degradation_words(self) -> str:
        """How the small pictures came about: numbers of others do not compare."""

    @abstractmethod
    def pictures(self, split: Split) -> int:
        """Return the number of whole pictures of `split`."""

    @abstractmethod
    def picture(self, split: Split, index: int) -> Batch:
        """Return one picture: ``image``, uint8 (1, C, H, W), and ``source``, uint8 (1, C, H / scale, W / scale)."""


class DescribedAttribute(NamedTuple):
    """What a caption says of a picture by one of a few words: its name, and bool (V, V), True for each word and those
    next to it."""

    name: str
    near: Tensor


class DescribedData(ABC):
    """A set of drawn pictures whose captions name attributes that are known: whether a picture is what its sentence
    says can be measured."""

    @property
    @abstractmethod
    def described(self) -> tuple[DescribedAttribute, ...]:
        """The P attributes that a caption names."""

    @abstractmethod
    def described_in(self, batch: Batch) -> Tensor:
        """Rows of a split -> the word that says each attribute, int64 (B, P)."""

    @abstractmethod
    def left_out(self, texts: list[str]) -> Tensor:
        """Bool (B,): whether a combination of words was held out of the training pictures."""

    @abstractmethod
    def draw_described(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Draw new pictures, uint8 (count, C, H, W), and their words, int64 (count, P): a function of the seed."""

    @abstractmethod
    def redraw(self, words: Tensor, seed: int) -> Tensor:
        """Draw other pictures, uint8 (B, C, H, W), of which the same words are true."""
