"""Sets that need not fit into the memory, or on the disk, of one machine: shards are fetched as their turn comes."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import final

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import Split
from lightning_gen.data.augment import Augmentation
from lightning_gen.data.decode import Frame, open_picture
from lightning_gen.data.memory import IndexedImages
from lightning_gen.data.rows import Rows
from lightning_gen.data.shards import Sample, ShardReader, decoded, read_index
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.threads import computing_threads

__all__ = ["ShardRows", "ShardedImages"]

_AHEAD = 4  # batches that are decoded while one is used
_FETCH_AHEAD = 64  # batches whose shards are fetched meanwhile, as long as they lie in few enough
_FETCHERS = 4  # shards that are on their way at once


@final
class ShardRows(Rows):
    """The images of a split of a sharded set.

    Args:
        reader: of the split.
        spec: of the images.
        mix: shards whose images are shuffled together.
        threads: that decode.
    """

    def __init__(self, reader: ShardReader, spec: ImageSpec, mix: int, threads: int) -> None:
        self.reader, self.spec, self.mix, self.threads = reader, spec, mix, threads
        self.frame = Frame()

    def __len__(self) -> int:
        return self.reader.first[-1]

    def epoch(self, generator: Generator, rank: int, world: int, batch_size: int) -> Iterator[Tensor]:
        """The shards are laid in a random order, the same for all processes, and each process takes its stretch of that
        line: a shard is fetched by one process, where a stretch ends in it by two. The images of each `mix` shards are
        shuffled."""
        line = torch.randperm(len(self.reader.shards), generator=generator).tolist()
        share = len(self) // (batch_size * world) * batch_size
        begin, end = rank * share, (rank + 1) * share
        pieces, place = [], 0
        for shard in line:
            first, last = self.reader.first[shard : shard + 2]
            low, high = max(begin, place), min(end, place + last - first)
            if low < high:
                pieces.append(torch.arange(first + low - place, first + high - place))
            place += last - first
        left = torch.zeros(0, dtype=torch.int64)
        for i in range(0, len(pieces), self.mix):
            window = torch.cat(pieces[i : i + self.mix])
            left = torch.cat([left, window[torch.randperm(len(window), generator=generator)]])
            whole = len(left) // batch_size * batch_size
            yield from left[:whole].split(batch_size)
            left = left[whole:]

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Batch]:
        decoders, fetchers = computing_threads(self.threads), ThreadPoolExecutor(_FETCHERS)
        waiting: deque[list[Future[tuple[Sample, Tensor]]]] = deque()
        try:
            for index in self._fetching(indices, fetchers):
                waiting.append([decoders.submit(self._decode, i) for i in index.tolist()])
                if len(waiting) > _AHEAD:
                    yield self._batch(waiting.popleft())
            while waiting:
                yield self._batch(waiting.popleft())
        finally:
            decoders.shutdown(cancel_futures=True)
            fetchers.shutdown(cancel_futures=True)

    def _fetching(self, indices: Iterable[Tensor], pool: ThreadPoolExecutor) -> Iterator[Tensor]:
        """The same `indices`, whose shards are fetched some time before: no more than `mix` of them at once, or shards
        that are still needed would be dropped for them."""
        asked: set[int] = set()
        ahead: deque[tuple[Tensor, set[int]]] = deque()
        for index in indices:
            shards = {self.reader.shard_of(i) for i in index.tolist()}
            while ahead and (len(ahead) >= _FETCH_AHEAD or len(shards.union(*(s for _, s in ahead))) > self.mix):
                yield ahead.popleft()[0]
            for shard in sorted(shards - asked):
                pool.submit(self.reader.load, shard)
            asked |= shards
            ahead.append((index, shards))
        for index, _ in ahead:
            yield index

    def _decode(self, image: int) -> tuple[Sample, Tensor]:
        sample = self.reader(image)
        name = f"{sample['__key__']}.png in {sample['__url__']}"
        if "png" not in sample:
            raise UserError(f"there is no {name}: want a picture for each image")
        pixels = self.frame(open_picture(sample["png"], name), self.spec.shape, name)
        if self.spec.levels < 256 and int(pixels.max()) >= self.spec.levels:
            raise UserError(f"picture {name} has level {int(pixels.max())}: want 0 to {self.spec.levels - 1}")
        return sample, pixels

    def _batch(self, rows: list[Future[tuple[Sample, Tensor]]]) -> Batch:
        samples, images = zip(*(row.result() for row in rows), strict=True)
        return decoded(list(samples), list(images), self.spec.classes)

    def to(self, device: torch.device) -> "ShardRows":
        return self


@final
class ShardedImages(IndexedImages):
    """A set that `lightning-gen pack` has written (``pip install 'lightning-gen[streaming]'``). It has the splits, the
    fixed order and the fingerprint of the set it was made of: numbers compare.

    Args:
        root: folder, or URL that ``fsspec`` reads (``https://``; with their own packages ``s3://``, ``gs://``).
        mix: shards whose images are shuffled together, 1 or more; twice as many are held in memory.
        threads: that decode.
        batch_size: images per process and batch.
        seed: of the order and the augmentation of the training images; the splits are the same for every seed.
        augment: changes training images at random (None: not).

    Raises:
        UserError: there is no such set; when its turn comes, a shard cannot be fetched or is damaged.
    """

    def __init__(
        self,
        root: str,
        mix: int = 8,
        threads: int = 4,
        batch_size: int = 64,
        seed: int = 0,
        augment: Augmentation | None = None,
    ) -> None:
        super().__init__(batch_size, seed, augment, on_device=False)
        check_counts("data", limit=1 << 20, mix=mix)
        check_counts("data", threads=threads)
        self.root, self.mix, self.threads = os.path.expanduser(root), mix, threads
        self.index = read_index(self.root)
        self._rows: dict[Split, ShardRows] = {}

    @property
    def spec(self) -> ImageSpec:
        return self.index.spec

    @property
    def fingerprint(self) -> str:
        return self.index.fingerprint

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.index.name

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.index.class_names

    @property
    def attribute_names(self) -> tuple[str, ...]:
        return self.index.attribute_names

    def rows(self, split: Split) -> ShardRows:
        if split not in self._rows:
            reader = ShardReader(self.root, self.index.splits[split], 2 * self.mix)
            self._rows[split] = ShardRows(reader, self.spec, self.mix, self.threads)
        return self._rows[split]
