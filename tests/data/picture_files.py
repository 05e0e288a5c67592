"""Small picture folders on disk, for the tests of this room."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(root: Path, names, shape=(6, 6), mode="L", seed=0):
    """Random pictures of `shape` (height, width) under `names` below `root`."""
    draw = np.random.default_rng(seed)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, shape if mode == "L" else (*shape, len(mode)), dtype=np.uint8)
        Image.fromarray(pixels, mode).save(path)
    return root


def zip_folder(folder: Path, path: Path) -> Path:
    """A zip file of the files below `folder`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for item in sorted(folder.rglob("*")):
            if item.is_file():
                file.write(item, item.relative_to(folder).as_posix())
    return path
