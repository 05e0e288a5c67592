"""A batch: images and what comes with them, row by row. A condition is a batch without ``image``."""

from collections.abc import Sequence
from typing import Any, TypedDict, cast

import torch
from torch import Tensor

__all__ = ["Batch", "join", "keep", "repeat_rows", "select_rows", "send", "size", "to_device", "without_image"]


class Batch(TypedDict, total=False):
    """Values of B images; every key but ``image`` may be absent."""

    #: uint8 (B, C, H, W), values 0..levels-1
    image: Tensor
    #: int64 (B,), 0..classes-1
    label: Tensor
    #: float (B, A)
    attributes: Tensor
    #: uint8 (B, C', h, w): what a translation starts from
    source: Tensor
    #: uint8 (B, C, H, W): the image before this one in a sequence, such as a bar of music
    previous: Tensor
    #: B texts
    text: list[str]
    #: int64 (B, L) or float (B, K): the texts as their encoder has read them, such as numbers of words
    words: Tensor


def size(batch: Batch) -> int:
    """Count B, the number of rows."""
    return len(next(iter(batch.values())))  # type: ignore[arg-type]


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move the tensors of `batch` to `device`; texts stay."""
    return _each(batch, lambda value: value.to(device) if isinstance(value, Tensor) else value)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a small tensor to `device` without waiting for what the device is at: through pinned memory for a GPU."""
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def select_rows(batch: Batch, start: int, stop: int) -> Batch:
    """Take the rows `start` to `stop` of every value."""
    return _each(batch, lambda value: value[start:stop])


def keep(batch: Batch, keys: Sequence[str]) -> Batch:
    """Take these keys alone."""
    return cast(Batch, {key: cast(dict, batch)[key] for key in keys})


def repeat_rows(batch: Batch, times: int) -> Batch:
    """Repeat each row `times` times, one after the other: a, a, b, b."""

    def repeated(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.repeat_interleave(times, 0)
        return [text for text in value for _ in range(times)]

    return _each(batch, repeated)


def join(batches: Sequence[Batch]) -> Batch:
    """Put the rows of several batches with the same keys one after the other."""

    def joined(parts: list[Any]) -> Any:
        return torch.cat(parts) if isinstance(parts[0], Tensor) else [text for part in parts for text in part]

    return cast(Batch, {key: joined([cast(dict, batch)[key] for batch in batches]) for key in batches[0]})


def without_image(batch: Batch) -> Batch:
    """Take `batch` as a condition: everything but ``image``."""
    return cast(Batch, {key: value for key, value in batch.items() if key != "image"})


def _each(batch: Batch, change: Any) -> Batch:
    return cast(Batch, {key: change(value) for key, value in batch.items()})
