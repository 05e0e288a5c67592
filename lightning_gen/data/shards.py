"""Sets in shards: tar files in the format of WebDataset beside an index, in a folder or behind a URL.

    index.json          spec, names, fingerprint; of each shard its images, bytes and SHA-256
    train-000000.tar    000000000.png, and .cls (class), .json (attributes), .txt (caption) where the set has them

The pixels of a PNG are the levels themselves, 0..levels-1. The format and its reader are WebDataset's; which image
comes when is decided by `streamed.ShardRows`.
"""

import hashlib
import io
import json
import os
import re
import tarfile
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple, cast, final, get_args

import fsspec
import torch
from PIL import Image
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import ImageData, Split
from lightning_gen.errors import UserError
from lightning_gen.files import atomic_write, write_json
from lightning_gen.images import ImageSpec

__all__ = ["Index", "Sample", "Shard", "ShardReader", "decoded", "read_index", "write_shards"]

#: an image as it lies in a shard: ``png``, ``cls``, ``json``, ``txt`` -> bytes
Sample = dict[str, Any]
_WANTED = "want a folder or URL that lightning-gen pack has written"
#: of addresses that shards are read from
_SCHEMES = ("http", "https", "s3", "gs", "hf", "memory")
_TRIES = 3  # to fetch a shard, with growing waits between them: one dropped connection must not end a night's training


class Shard(NamedTuple):
    """One tar file: its name, the number of images in it, its length, and the SHA-256 of its content in hex digits."""

    file: str
    images: int
    bytes: int
    sha256: str


class Index(NamedTuple):
    """What is known of a set before any shard is read; fields as those of `ImageData`."""

    name: str
    fingerprint: str
    spec: ImageSpec
    class_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    splits: dict[Split, list[Shard]]


def write_shards(data: ImageData, folder: Path, images: int, report: Callable[[str], None] = lambda _: None) -> Index:
    """Write a set into shards: the same images in the same order and splits, under the same fingerprint. The index
    comes last: what a killed writer leaves is no set.

    Args:
        data: of 1 or 3 channels; read in its fixed order, without augmentation.
        folder: new, or without an index.
        images: of each shard but the last of a split, 1 or more.
        report: called with a line per shard.

    Raises:
        UserError: the folder holds a set already, or the images cannot be PNG files.
    """
    writer = _webdataset().TarWriter
    if (folder / "index.json").exists():
        raise UserError(f"out is {folder}, which holds a set already: want another folder")
    if data.spec.channels not in (1, 3):
        raise UserError(f"data has images of {data.spec.channels} channels: want 1 or 3")
    splits: dict[Split, list[Shard]] = {}
    for split in get_args(Split):
        splits[split] = []
        samples = _samples(data, split)
        while block := list(islice(samples, images)):
            name = f"{split}-{len(splits[split]):06}.tar"
            content = io.BytesIO()
            # Without time and owner, the same set gives the same bytes.
            with writer(content, user="", group="", mtime=0, encoder=False) as shard:
                for sample in block:
                    shard.write(sample)
            with atomic_write(folder / name) as stream:
                stream.write(content.getbuffer())
            digest = hashlib.sha256(content.getbuffer()).hexdigest()
            splits[split].append(Shard(name, len(block), len(content.getbuffer()), digest))
            report(f"{folder / name}: {len(block):,} images")
    index = Index(data.name, data.fingerprint, data.spec, data.class_names, data.attribute_names, splits)
    shards = {split: [shard._asdict() for shard in found] for split, found in splits.items()}
    write_json(folder / "index.json", index._asdict() | {"format": 1, "spec": data.spec.as_dict(), "splits": shards})
    return index


def _samples(data: ImageData, split: Split) -> Iterator[Sample]:
    number = 0
    for batch in data.batches(split, 256):
        for row in range(len(batch["image"])):
            yield {"__key__": f"{number:09}", **_encoded({key: value[row] for key, value in cast(dict, batch).items()})}
            number += 1


def _encoded(row: dict[str, Any]) -> Sample:
    """One row of a batch -> the files of a sample."""
    pixels = row["image"].permute(1, 2, 0).numpy()
    picture = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(picture, format="PNG")
    found: Sample = {"png": picture.getvalue()}
    if "label" in row:
        found["cls"] = str(int(row["label"])).encode()
    if "attributes" in row:
        found["json"] = json.dumps({"attributes": row["attributes"].tolist()}).encode()
    if "text" in row:
        found["txt"] = row["text"].encode()
    return found


def read_index(root: str) -> Index:
    """The index of the set below `root`, a folder or URL.

    Raises:
        UserError: there is none, it is of another kind, or a shard of a folder is missing or cut short.
    """
    path = f"{root.rstrip('/')}/index.json"
    _check_place(root)
    try:
        content = json.loads(_fetch(path))
    except FileNotFoundError as error:
        raise UserError(f"data.root is {root}, where no index.json is: {_WANTED}") from error
    except (OSError, ValueError, ImportError, RecursionError) as error:
        raise UserError(f"data.root is {root}, whose index.json cannot be read ({error}): {_WANTED}") from error
    try:
        splits = {split: [_shard(shard) for shard in content["splits"][split]] for split in get_args(Split)}
        names = tuple(map(str, content["class_names"])), tuple(map(str, content["attribute_names"]))
        about = str(content["name"]), str(content["fingerprint"])
        index = Index(*about, ImageSpec.from_dict(content["spec"]), *names, splits)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"data.root is {root}, whose index.json is of another kind: {_WANTED}") from error
    if Path(root).is_dir():
        for shard in (shard for found in splits.values() for shard in found):
            place = Path(root) / shard.file
            if not place.is_file() or place.stat().st_size != shard.bytes:
                raise UserError(f"shard {place} is missing or cut short: {_WANTED}")
    return index


def _check_place(root: str) -> None:
    """Raise for an address that is more than one: file systems that wrap another may write where they like."""
    if "::" in root or ("://" in root and root.partition("://")[0].lower() not in _SCHEMES):
        raise UserError(f"data.root is {root}: want a folder, or an address of {', '.join(_SCHEMES)}")


def _shard(content: dict[str, Any]) -> Shard:
    """One shard of an index; raises `ValueError` or `TypeError` for what `write_shards` would not write."""
    shard = Shard(**content)
    sizes = all(type(number) is int and 0 <= number < 1 << 50 for number in (shard.images, shard.bytes))
    if not sizes or not re.fullmatch(r"[\w.-]+\.tar", shard.file) or not re.fullmatch(r"[0-9a-f]{64}", shard.sha256):
        raise ValueError("of another kind")
    return shard


@final
class ShardReader:
    """The images of a split by number, out of the shards that were used last; safe to call from several threads.

    Args:
        root: folder or URL of the set.
        shards: of the split, in order.
        keep: shards held in memory, 1 or more.
    """

    def __init__(self, root: str, shards: Sequence[Shard], keep: int) -> None:
        self.root, self.shards, self.keep = root.rstrip("/"), shards, keep
        #: number of the first image of each shard, and of all images
        self.first = [0, *accumulate(shard.images for shard in shards)]
        self.lock = threading.Lock()
        self.held: OrderedDict[int, _Held] = OrderedDict()

    def shard_of(self, image: int) -> int:
        """The shard in which image number `image` lies."""
        return bisect_right(self.first, image) - 1

    def __call__(self, image: int) -> Sample:
        """Image number `image` as it lies in its shard; raises `UserError` where that cannot be had."""
        shard = self.shard_of(image)
        return self.load(shard)[image - self.first[shard]]

    def load(self, shard: int) -> list[Sample]:
        """All images of a shard, fetched where they are not held."""
        with self.lock:
            held = self.held.setdefault(shard, _Held())
            self.held.move_to_end(shard)
            while len(self.held) > self.keep:
                self.held.popitem(last=False)
        with held.lock:
            if held.samples is None:
                held.samples = self._samples(self.shards[shard])
            return held.samples

    def _samples(self, shard: Shard) -> list[Sample]:
        path = f"{self.root}/{shard.file}"
        content = _patiently(path)
        if hashlib.sha256(content).hexdigest() != shard.sha256:
            raise UserError(f"shard {path} is damaged: its SHA-256 is not that of the index")
        iterators = _webdataset().tariterators
        try:
            _check_plain(content)
            files = iterators.tar_file_expander([{"url": path, "stream": io.BytesIO(content)}])
            samples = list(iterators.group_by_keys(files))
        except (tarfile.TarError, ValueError) as error:
            raise UserError(f"shard {path} cannot be read ({error}): want a tar file of pictures") from error
        if len(samples) != shard.images:
            raise UserError(f"shard {path} has {len(samples)} images: want {shard.images} as in the index")
        return samples


def _check_plain(content: bytes) -> None:
    """Raise `ValueError` where a tar file is more than it says: compressed, or with members that are mostly holes."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        if any(not member.isreg() or member.sparse or member.size > len(content) for member in archive):
            raise ValueError("members that are no plain files")


class _Held:
    """A shard that is, or is about to be, in memory."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.samples: list[Sample] | None = None


def _patiently(path: str) -> bytes:
    for attempt in range(_TRIES):
        try:
            return _fetch(path)
        except Exception as error:  # of whatever client the file system of this URL has
            if attempt == _TRIES - 1 or os.path.exists(os.path.dirname(path)):  # a disk does not change its mind
                raise UserError(f"shard {path} cannot be read ({error}): want a set that is there") from error
        time.sleep(4.0**attempt)
    raise AssertionError


def _fetch(path: str) -> bytes:
    with fsspec.open(path, "rb") as stream:
        return stream.read()  # type: ignore[attr-defined]


def _webdataset() -> Any:
    try:
        import webdataset
    except ImportError as error:
        raise UserError("data in shards needs WebDataset: want pip install 'lightning-gen[streaming]'") from error
    return webdataset


def decoded(samples: list[Sample], images: list[Tensor], classes: int) -> Batch:
    """Samples and their pixels, uint8 (C, H, W) each -> a batch.

    Raises:
        UserError: what comes with an image is not what `write_shards` writes, or a label is none of the classes.
    """
    batch: dict[str, Any] = {"image": torch.stack(images)}
    try:
        if "cls" in samples[0]:
            batch["label"] = torch.tensor([int(sample["cls"]) for sample in samples])
        if "json" in samples[0]:
            attributes = [json.loads(sample["json"])["attributes"] for sample in samples]
            batch["attributes"] = torch.tensor(attributes, dtype=torch.float32)
        if "txt" in samples[0]:
            batch["text"] = [sample["txt"].decode() for sample in samples]
    except (KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise UserError(f"shard of {samples[0]['__key__']} has a label or text of another kind: {_WANTED}") from error
    if "label" in batch and not 0 <= int(batch["label"].min()) <= int(batch["label"].max()) < classes:
        raise UserError(f"shard of {samples[0]['__key__']} has label {batch['label'].max()}: want 0 to {classes - 1}")
    return cast(Batch, batch)
