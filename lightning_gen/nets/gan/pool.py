"""Past pictures of a generator, so that a discriminator does not forget them (Shrivastava et al. 2017, Section 2.3)."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError, check_counts

__all__ = ["PicturePool"]


@final
class PicturePool(nn.Module):
    """Keeps pictures, and gives old ones for new ones (Zhu et al. 2017, Section 4).

    While it is not full it keeps and returns each picture. Afterwards a picture is, with chance 1/2, exchanged for one
    that is kept, else it is returned. The pictures of one batch are exchanged for different ones.

    All of it is computed on the device, so that a step that uses it can be captured. The pictures are no buffer: every
    process has its own, which must not be averaged.

    Args:
        shape: (C, H, W) of the pictures.
        size: the most that it keeps, 1 or more; 50 in the paper.
    """

    def __init__(self, shape: tuple[int, int, int], size: int = 50) -> None:
        super().__init__()
        check_counts("pool", size=size)
        self.size = size
        self.pictures, self.count = torch.zeros(size, *shape), torch.zeros((), dtype=torch.int64)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PicturePool":
        super()._apply(fn, recurse)
        self.pictures, self.count = fn(self.pictures), fn(self.count)
        return self

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """New pictures (B, C, H, W) -> as many, some of them old; without a gradient."""
        return torch.cat([self._exchange(part) for part in pictures.detach().float().split(self.size)])

    def _exchange(self, pictures: Tensor) -> Tensor:
        batch, device = len(pictures), pictures.device
        place = torch.arange(self.size, device=device)
        # Empty places come first; among those of one kind, chance decides.
        urgency, slot = (torch.rand(self.size, device=device) + (place >= self.count)).topk(batch)
        empty = urgency >= 1
        exchanged = ~empty & (torch.rand(batch, device=device) < 0.5)
        old = self.pictures[slot]
        take, store = (mask[:, None, None, None] for mask in (exchanged, exchanged | empty))
        self.pictures[slot] = torch.where(store, pictures, old)
        self.count.add_(batch).clamp_(max=self.size)
        return torch.where(take, old, pictures)

    def state(self) -> dict[str, Any]:
        """Return what is kept, for `ImageModule.process_state`."""
        return {"pictures": self.pictures.cpu(), "count": self.count.cpu()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            UserError: it is of a pool of another size.
        """
        if state["pictures"].shape != self.pictures.shape:
            raise UserError(
                f"model.pool is {self.size}: the checkpoint has a pool of {len(state['pictures'])}, want it"
            )
        self.pictures.copy_(state["pictures"])
        self.count.copy_(state["count"])
