"""Trains flows in two processes, stops, goes on; test_flow.py starts it and compares what they saved.

Each process has its own images and noise; only the parameters, and the bits/dim of held-out images, must agree.
"""

import sys
from pathlib import Path

import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from lightning_gen.bijections.glow import Glow
from lightning_gen.bijections.primitives.linear import BatchNorm
from lightning_gen.bijections.realnvp import RealNVP
from lightning_gen.images import ImageSpec
from lightning_gen.models.flow import Flow
from lightning_gen.nets.flow.conditioner import ConvConditioner
from tests.launch.processes import Together

SPEC = ImageSpec(1, 4, 4, 17)


def _conv(a: int, b: int) -> ConvConditioner:
    return ConvConditioner(a, b, width=8, blocks=1)


FLOWS = {
    "realnvp": lambda spec, k: RealNVP(spec, k, _conv, couplings=1),
    "realnvp, batch norm": lambda spec, k: RealNVP(spec, k, _conv, couplings=1, norm=BatchNorm),
    "glow": lambda spec, k: Glow(spec, k, _conv, steps=1),
}


class _Loss(torch.nn.Module):
    """What DDP wraps: its forward pass is the loss."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return -self.flow.log_prob(image).mean()


def train(flow: Flow, steps: int, rank: int) -> None:
    chance = torch.Generator().manual_seed(rank)
    loss = DistributedDataParallel(_Loss(flow.train()))
    optimizer = torch.optim.Adam(flow.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(torch.randint(17, (8, *SPEC.shape), generator=chance, dtype=torch.uint8)).backward()
        optimizer.step()


@torch.no_grad()
def state(flow: Flow) -> dict[str, torch.Tensor]:
    """Parameters, buffers, and bits/dim of fixed images with fixed noise."""
    torch.manual_seed(7)
    image = torch.randint(17, (16, *SPEC.shape), dtype=torch.uint8)
    return {k: v.clone() for k, v in flow.state_dict().items()} | {"bits": flow.eval().bits_per_dim(image)}


def run(name: str, rank: int) -> list[dict[str, torch.Tensor]]:
    """After the first step, which sets activation norms, at the end, and after a resume."""
    torch.manual_seed(rank)  # DDP makes the parameters equal; noise differs
    flow = Flow(SPEC, FLOWS[name], torch.optim.Adam)
    train(flow, 1, rank)
    found = [state(flow)]
    again = Flow(SPEC, FLOWS[name], torch.optim.Adam)
    again.load_state_dict(flow.state_dict())
    train(again, 3, rank + 10)
    return [*found, state(again)]


def work() -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.save({name: run(name, rank) for name in FLOWS}, f"{sys.argv[1]}.{rank}")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    together = Together(work, Path(f"{sys.argv[1]}.log"))
    sys.exit(0 if together.wait() == [0, 0] else Path(f"{sys.argv[1]}.log").read_text()[-3000:])
