"""The Markov chain of melodies: the baseline that a network has to beat."""

from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.music.bars import check_bars
from lightning_gen.music.notation import HOLD, PITCHES, REST, STEPS, SYMBOLS
from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec, Reader, WholeImageReader

__all__ = ["MarkovChain"]

#: the pitch of the last note of the bar or none, times sounding or silent
_STATES = (PITCHES + 1) * 2


@final
class MarkovChain(CausalNet):
    """Logits of a symbol given its place in the bar, the pitch of the last note, whether it still sounds, and the
    context: the sum of three tables, of place and state, place and context, state and context (log-linear, so that
    rare combinations borrow from frequent ones). Tables are weighed by the context: a one-hot one chooses.

    Args:
        spec: what the network is built for; bars of melody.

    Raises:
        UserError: the images are no bars.
    """

    def __init__(self, spec: CausalSpec) -> None:
        super().__init__()
        check_bars(spec.image, "net MarkovChain")
        context = max(1, spec.context)
        self.place_state = nn.Parameter(torch.zeros(STEPS, _STATES, spec.parameters))
        self.place_context = nn.Parameter(torch.zeros(STEPS, context, spec.parameters))
        self.state_context = nn.Parameter(torch.zeros(_STATES, context, spec.parameters))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        state = self._states(x)  # (B, 16, S)
        given = x.new_ones(len(x), 1) if context is None else context.to(x.dtype)
        logits = torch.einsum("bns,nsp->bpn", state, self.place_state)
        logits = logits + torch.einsum("bk,nkp->bpn", given, self.place_context)
        logits = logits + torch.einsum("bns,bk,skp->bpn", state, given, self.state_context)
        return logits[:, :, None]

    def _states(self, x: Tensor) -> Tensor:
        """Signed bars (B, 1, 1, 16) -> weights of the states before each step, (B, 16, S). Whole symbols give one-hot
        weights; between two symbols they are linear, so that gradients show what a step sees."""
        symbol = (x.flatten(1) + 1) * ((SYMBOLS - 1) / 2)  # (B, 16)
        near = (1 - (symbol[..., None] - torch.arange(SYMBOLS, device=x.device)).abs()).clamp(min=0)
        pitch = x.new_zeros(len(x), PITCHES + 1)
        pitch[:, PITCHES] = 1.0  # none yet
        sounds = x.new_zeros(len(x), 1)
        states = []
        for step in range(STEPS):
            states.append(torch.cat([pitch * sounds, pitch * (1 - sounds)], 1))
            note, hold, rest = near[:, step, :PITCHES], near[:, step, HOLD, None], near[:, step, REST, None]
            begins = 1 - hold - rest
            pitch = begins * torch.cat([note, torch.zeros_like(hold)], 1) + (hold + rest) * pitch
            sounds = begins + hold * sounds
        return torch.stack(states, 1)

    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        return WholeImageReader(self, x, context)
