"""The processes of one training, as seen from one of them."""

import torch
from torch import Tensor, nn
from torch import distributed as dist

__all__ = ["average_gradients", "average_tensors", "largest", "rank_and_world", "sum_over_processes"]


def rank_and_world() -> tuple[int, int]:
    """Rank of this process, and the number of processes: (0, 1) where there is only this one."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum `value`, of equal shape on every process; the result is on the device that processes talk through."""
    if rank_and_world()[1] == 1:
        return value
    value = value.to(wire())
    dist.all_reduce(value)
    return value


def largest(number: int, device: torch.device) -> int:
    """The largest of the numbers of all processes."""
    found = torch.tensor(number, device=device)
    if rank_and_world()[1] > 1:
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def average_tensors(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over processes, in place, in one message; nothing for one process."""
    world = rank_and_world()[1]
    if world == 1 or not tensors:
        return
    flat = torch.cat([t.flatten() for t in tensors])
    dist.all_reduce(flat)
    flat /= world
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def average_gradients(network: nn.Module) -> None:
    """Replace each gradient of `network` by its mean over processes, in place."""
    average_tensors([p.grad for p in network.parameters() if p.grad is not None])


def wire() -> torch.device:
    """The device that processes talk through."""
    on_gpu = dist.is_initialized() and dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
