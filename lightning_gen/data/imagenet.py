"""The downsampled ImageNet of density estimation."""

from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from lightning_gen.data.downloads import ArrayImages
from lightning_gen.errors import UserError

__all__ = ["ImageNet32", "ImageNet64"]


class _Downsampled(ArrayImages):
    """1,281,167 training and 50,000 test photos of 1,000 classes (Chrabaszcz et al. 2017), all in memory.

    The test split is ImageNet's validation set. Labels are in the order of the files (their 1 is 0 here), which is not
    the alphabetical order of WordNet. There is nothing to download: ImageNet wants a login.
    """

    classes = 1000
    files = "train_data_batch_1.npz to train_data_batch_10.npz and val_data.npz"

    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        names = [f"train_data_batch_{i}.npz" for i in range(1, 11)] if train else ["val_data.npz"]
        paths = [_find(self.root, name) for name in names]
        labels = [_array(path, "labels").astype(np.int64) - 1 for path in paths]
        image = torch.empty(sum(map(len, labels)), *self.shape, dtype=torch.uint8)
        first = 0
        for path in paths:  # one batch at a time: the whole set twice might not fit
            part = torch.from_numpy(_array(path, "data"))
            if part.shape[1:] != image[0].flatten().shape:
                raise ValueError(f"{path.name} has rows of {part.shape[1]} values, want {image[0].numel()}")
            image[first : first + len(part)] = part.view(-1, *self.shape)
            first += len(part)
        return image, torch.from_numpy(np.concatenate(labels))

    def fetch(self) -> None:
        raise UserError("ImageNet wants a login")


def _find(root: Path, name: str) -> Path:
    path = next(iter(sorted(root.rglob(name))), None)
    if path is None:
        raise FileNotFoundError(name)
    return path


def _array(path: Path, key: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[key]
    except Exception as error:  # zipfile.BadZipFile, zlib.error, ValueError: all say that the file is damaged
        raise ValueError(f"{path.name}: {error}") from error


@final
class ImageNet32(_Downsampled):
    """ImageNet at 32x32 RGB, about 4 GB of memory; arguments as `ArrayImages`."""

    shape = (3, 32, 32)


@final
class ImageNet64(_Downsampled):
    """ImageNet at 64x64 RGB, about 16 GB of memory; arguments as `ArrayImages`."""

    shape = (3, 64, 64)
