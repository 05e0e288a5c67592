"""Loaders: resume in mid-epoch, processes that share without overlap, fixed splits."""

import pytest
import torch

from lightning_gen.data.digits import Digits
from lightning_gen.data.rows import MemoryRows, TrainLoader
from lightning_gen.errors import UserError

SET = MemoryRows({"image": torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)})


def _take(loader, n):
    out = []
    while len(out) < n:
        for batch in loader:
            out.append(batch["image"].flatten().tolist())
            if len(out) == n:
                break
    return out


def test_resume_in_mid_epoch_continues_exactly():
    whole = _take(TrainLoader(SET, 3), 14)
    first = TrainLoader(SET, 3)
    head = _take(first, 8)
    second = TrainLoader(SET, 3)
    second.load_state_dict(first.state_dict())
    assert head + _take(second, 6) == whole


def test_two_processes_share_one_global_batch():
    one = _take(TrainLoader(SET, 4), 5)
    two = [_take(TrainLoader(SET, 2, rank=rank, world=2), 5) for rank in range(2)]
    assert [sorted(a + b) for a, b in zip(*two, strict=True)] == [sorted(batch) for batch in one]


def test_digits_are_real_and_split_without_overlap():
    data = Digits()
    assert [data.size(split) for split in ("train", "val", "test")] == [1297, 200, 300]
    assert data.fingerprint == Digits(seed=5).fingerprint
    image = data.splits["train"]["image"]
    data.spec.check(image)
    assert int(image.max()) == 16


def test_a_batch_larger_than_the_set_is_one_plain_line():
    with pytest.raises(UserError, match="batch_size is 21: want 1 to 20"):
        TrainLoader(SET, 21)
