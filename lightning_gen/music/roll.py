"""Piano rolls: notes over time, higher ones above; where a note begins it is dark, where it lasts light."""

import torch
from torch import Tensor

from lightning_gen.music.notation import HOLD, LOWEST, PITCHES

__all__ = ["piano_rolls"]

_PAPER, _LINE = (255, 255, 255), (225, 225, 225)
_BEGINS, _LASTS = (20, 50, 110), (130, 160, 210)


def piano_rolls(bars: Tensor) -> Tensor:
    """Draw bars uint8 (B, 1, 1, 16) -> uint8 (B, 3, 72, 64): a pitch is 2 pixels high, a sixteenth 4 wide. A grey line
    marks each C."""
    symbol = bars[:, 0, 0].long()  # (B, 16)
    colour = torch.tensor([_PAPER, _LINE, _BEGINS, _LASTS], dtype=torch.uint8, device=bars.device)
    kind = torch.zeros(len(bars), PITCHES, symbol.shape[1], dtype=torch.long, device=bars.device)
    kind[:, (-LOWEST) % 12 :: 12] = 1
    last = torch.full_like(symbol[:, 0], -1)
    rows = torch.arange(len(bars), device=bars.device)
    for step in range(symbol.shape[1]):
        now = symbol[:, step]
        last = torch.where(now < PITCHES, now, torch.where(now == HOLD, last, -1))
        heard = rows[last >= 0]
        kind[heard, last[heard], step] = torch.where(now[heard] < PITCHES, 2, 3)
    shown = colour[kind.flip(1)].permute(0, 3, 1, 2)  # (B, 3, 36, 16)
    return shown.repeat_interleave(2, 2).repeat_interleave(4, 3)
