"""Sets that torchvision can download and that fit into memory, in the layout it leaves on disk."""

import fcntl
import gzip
import struct
import zlib
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.levels import Levels
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec

__all__ = ["CIFAR10", "MNIST", "SVHN", "ArrayImages", "FashionMNIST", "fetch"]

_DIGITS = tuple("0123456789")


def fetch(name: str, root: Path, download: Callable[[], object]) -> None:
    """Run `download`, which does nothing where the files are there; other processes wait until it is done.

    Raises:
        UserError: it failed.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with open(root / f".{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released as the file is closed
            download()
    except Exception as error:  # torchvision and its helpers raise whatever their network library does
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise UserError(f"data.download of {name} failed ({reason}): want a network, or its files in {root}") from error


class ArrayImages(MemoryImages):
    """A named set with an official test split; val is the end of the official training split.

    Args:
        root: folder of the files; see ``docs/data.md`` for the layout of each set.
        download: fetch the files with torchvision where they are missing; one process does, others wait.
        validation: training images kept as val, the last ones, 1 or more.
        levels: fewer than 256, as a class of ``lightning_gen.data.levels`` (None: 256).
        batch_size: images per process and batch.
        seed: of the order and the augmentation of the training images.
        augment: changes training images at random (None: not).
        on_device: see `IndexedImages`.
    """

    #: (C, H, W)
    shape: ClassVar[tuple[int, int, int]]
    classes: ClassVar[int] = 10
    #: files below `root` that the set needs, for the message
    files: ClassVar[str]

    def __init__(
        self,
        root: str = "data",
        download: bool = False,
        validation: int = 5000,
        levels: Levels | None = None,
        batch_size: int = 64,
        seed: int = 0,
        augment: Augmentation | None = None,
        on_device: bool = True,
    ) -> None:
        check_counts("data", limit=1 << 30, validation=validation)
        super().__init__(batch_size, seed, augment, on_device)
        self.root, self.download = Path(root).expanduser(), download
        self.validation, self.levels = validation, levels

    @abstractmethod
    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        """uint8 (N, C, H, W) and int64 (N,) of an official split. Raises FileNotFoundError, or ValueError where a
        file is damaged."""

    @abstractmethod
    def fetch(self) -> None:
        """Download the files below `root`."""

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(*self.shape, self.levels.levels if self.levels else 256, self.classes)

    @property
    def name(self) -> str:  # type: ignore[override]
        return type(self).__name__.lower()

    def load(self) -> dict[Split, dict[str, Column]]:
        (image, label), (test_image, test_label) = self._official(True), self._official(False)
        cut = len(image) - self.validation
        if cut < 1:
            raise UserError(f"data.validation is {self.validation}: want 1 to {len(image) - 1}")
        self._reduce(image, 0)
        self._reduce(test_image, len(image))
        return {
            "train": {"image": image[:cut], "label": label[:cut]},
            "val": {"image": image[cut:], "label": label[cut:]},
            "test": {"image": test_image, "label": test_label},
        }

    def prepare_data(self) -> None:
        """Download what is missing. Lightning calls this in one process of each machine; the others wait."""
        if self.download:
            assert self.splits

    def _official(self, train: bool) -> tuple[Tensor, Tensor]:
        try:
            try:
                return self.read(train)
            except FileNotFoundError:
                if not self.download:
                    raise
                fetch(self.name, self.root, self.fetch)
                return self.read(train)
        except FileNotFoundError as error:
            wanted = f"want {self.files} there, or data.download true"
            raise UserError(f"data.root is {self.root}, without {self.name}: {wanted}") from error
        except (ValueError, KeyError, EOFError, OSError, zlib.error) as error:
            raise UserError(
                f"data.root is {self.root}: {self.name} cannot be read ({error}): want whole files"
            ) from error

    def _reduce(self, image: Tensor, first: int) -> None:
        """Fewer levels in place, a few images at a time; `first` is the place of the first image in the set."""
        if self.levels is not None:
            for part, index in zip(image.split(512), torch.arange(len(image)).split(512), strict=True):
                part.copy_(self.levels(part, index + first))


def _idx(folder: Path, stem: str) -> Tensor:
    """The array of an IDX file of bytes, plain or gzipped, in `folder` or where torchvision puts it."""
    places = [folder / f"{stem}{ending}" for ending in ("", ".gz")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(stem)
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"{path.name} is no IDX file of bytes")
    count = content[3]
    shape = struct.unpack_from(f">{count}I", content, 4) if len(content) >= 4 + 4 * count else (0,)
    if len(content) != 4 + 4 * count + np.prod(shape, dtype=np.int64):
        raise ValueError(f"{path.name} is cut short")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=4 + 4 * count).view(shape)


@final
class MNIST(ArrayImages):
    """70,000 handwritten digits, 28x28 grey (LeCun et al. 1998); arguments as `ArrayImages`."""

    shape = (1, 28, 28)
    files = "MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte (or .gz)"
    class_names = _DIGITS

    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        return _read_mnist(self.root, "MNIST", train)

    def fetch(self) -> None:
        from torchvision import datasets

        datasets.MNIST(str(self.root), download=True)


@final
class FashionMNIST(ArrayImages):
    """70,000 pieces of clothing, 28x28 grey (Xiao et al. 2017); arguments as `ArrayImages`."""

    shape = (1, 28, 28)
    files = "FashionMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte (or .gz)"
    class_names: tuple[str, ...] = ("t-shirt", "trouser", "pullover", "dress", "coat")
    class_names += ("sandal", "shirt", "sneaker", "bag", "ankle boot")

    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        return _read_mnist(self.root, "FashionMNIST", train)

    def fetch(self) -> None:
        from torchvision import datasets

        datasets.FashionMNIST(str(self.root), download=True)


def _read_mnist(root: Path, folder: str, train: bool) -> tuple[Tensor, Tensor]:
    # torchvision's folder, or one that the files were put into by hand
    raw = root / folder / "raw" if (root / folder).is_dir() else root
    stem = "train" if train else "t10k"
    return _idx(raw, f"{stem}-images-idx3-ubyte").unsqueeze(1), _idx(raw, f"{stem}-labels-idx1-ubyte").long()


@final
class CIFAR10(ArrayImages):
    """60,000 photos of 10 classes, 32x32 RGB (Krizhevsky 2009); arguments as `ArrayImages`.

    torchvision checks the MD5 of each file before it unpickles it.
    """

    shape = (3, 32, 32)
    files = "cifar-10-batches-py, whole and unchanged,"
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        from torchvision import datasets

        try:
            source = datasets.CIFAR10(str(self.root), train=train)
        except RuntimeError as error:
            raise FileNotFoundError(str(error)) from error
        image = torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous()
        return image, torch.tensor(source.targets)

    def fetch(self) -> None:
        from torchvision import datasets

        datasets.CIFAR10(str(self.root), download=True)


@final
class SVHN(ArrayImages):
    """99,289 house numbers cut to 32x32 RGB (Netzer et al. 2011), without the extra set; arguments as `ArrayImages`."""

    shape = (3, 32, 32)
    files = "train_32x32.mat and test_32x32.mat"
    class_names = _DIGITS

    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        from scipy.io import loadmat

        with open(self.root / f"{'train' if train else 'test'}_32x32.mat", "rb") as file:
            content = loadmat(file)
        image = torch.from_numpy(content["X"]).permute(3, 2, 0, 1).contiguous()
        return image, torch.from_numpy(content["y"].astype(np.int64)).flatten() % 10  # its 10 is the digit 0

    def fetch(self) -> None:
        from torchvision import datasets

        for split in ("train", "test"):
            datasets.SVHN(str(self.root), split=split, download=True)
