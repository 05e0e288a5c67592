"""The processes of one training, as seen from one of them. Every function but `rank_and_world` and `wire` is a
collective: all processes call it, in the same order."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch import distributed as dist

__all__ = [
    "average_gradients",
    "average_tensors",
    "copy_from_first_process",
    "everywhere",
    "from_first_process",
    "largest",
    "mean_over_processes",
    "rank_and_world",
    "sum_over_processes",
]


def rank_and_world() -> tuple[int, int]:
    """Rank of this process, and the number of processes: (0, 1) where there is only this one."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def wire() -> torch.device:
    """The device that processes talk through."""
    on_gpu = dist.is_available() and dist.is_initialized() and dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum `value`, of equal shape on every process; the result is on the device that processes talk through."""
    if rank_and_world()[1] == 1:
        return value
    value = value.to(wire(), copy=True)
    dist.all_reduce(value)
    return value


def mean_over_processes(value: Tensor) -> Tensor:
    """Average `value`, of equal shape on every process, on its own device; the gradient flows back to all of them."""
    world = rank_and_world()[1]
    if world == 1:
        return value
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(value) / world


def largest(number: int, device: torch.device) -> int:
    """Find the largest of the numbers of all processes."""
    found = torch.tensor(number, device=device)
    if rank_and_world()[1] > 1:
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def everywhere(condition: bool) -> bool:
    """Whether `condition` holds in every process."""
    return not largest(int(not condition), wire())


def from_first_process(value: Tensor) -> Tensor:
    """Replace `value`, of equal shape on every process, by that of the first one; on the device of `value`."""
    if rank_and_world()[1] == 1:
        return value
    sent = value.detach().to(wire(), copy=True).contiguous()
    dist.broadcast(sent, 0)
    return sent.to(value.device)


def average_tensors(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over processes, in place, in one message per dtype. A graph may hold it."""
    for same in _of_one_dtype(tensors):
        flat = torch.cat([t.flatten() for t in same])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        _spread(flat, same)


def copy_from_first_process(tensors: list[Tensor]) -> None:
    """Replace each tensor by that of the first process, in place, in one message per dtype."""
    for same in _of_one_dtype(tensors):
        flat = torch.cat([t.flatten() for t in same])
        dist.broadcast(flat, 0)
        _spread(flat, same)


def _of_one_dtype(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Groups of equal dtype, in one order on every process; none where there are no processes to talk to."""
    if dist.is_available() and dist.is_initialized():
        for dtype in dict.fromkeys(t.dtype for t in tensors):
            yield [t for t in tensors if t.dtype == dtype]


def _spread(flat: Tensor, tensors: list[Tensor]) -> None:
    parts = flat.split([t.numel() for t in tensors])
    torch._foreach_copy_(tensors, [part.view_as(t) for part, t in zip(parts, tensors, strict=True)])


def average_gradients(network: nn.Module) -> None:
    """Replace each gradient of `network` by its mean over processes, in place."""
    average_tensors([p.grad for p in network.parameters() if p.grad is not None])
