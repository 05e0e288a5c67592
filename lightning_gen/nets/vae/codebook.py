"""Images as grids of vectors, and the nearest of a learned set of vectors (van den Oord et al. 2017)."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from lightning_gen.distributed import from_first_process
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, halvings
from lightning_gen.nets.vae.convolutional import ResidualBlock

__all__ = ["Codebook", "ConvGridDecoder", "ConvGridEncoder", "GridEncoder"]


class GridEncoder(nn.Module, ABC):
    """Signed image (B, C, H, W) -> (B, D, h, w)."""

    #: (h, w)
    size: tuple[int, int]

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A vector per position."""


@final
class ConvGridEncoder(GridEncoder):
    """Strided convolutions and a residual block at the end.

    Args:
        spec: of the images.
        dim: D.
        width: channels.
        scales: halvings of the sides, fewer where a side cannot be halved so often; 1 or more.
    """

    def __init__(self, spec: ImageSpec, dim: int, width: int = 32, scales: int = 1) -> None:
        super().__init__()
        check_counts("net", scales=scales)
        count = halvings(spec, 1, scales)
        self.size = (spec.height >> count, spec.width >> count)
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1), nn.SiLU()]
        for _ in range(count):
            layers += [nn.Conv2d(width, width, 4, 2, 1), nn.SiLU()]
        self.layers = nn.Sequential(*layers, ResidualBlock(width), nn.Conv2d(width, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@final
class ConvGridDecoder(nn.Module):
    """(B, D, h, w) -> parameters of the likelihood (B, out, H, W).

    Args:
        spec: of the images.
        dim: D.
        out: channels of the output.
        width: channels.
        scales: as in the encoder.
    """

    def __init__(self, spec: ImageSpec, dim: int, out: int, width: int = 32, scales: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(dim, width, 3, padding=1), ResidualBlock(width), nn.SiLU()]
        for _ in range(halvings(spec, 1, scales)):
            layers += [nn.ConvTranspose2d(width, width, 4, 2, 1), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, out, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


@final
class Codebook(nn.Module):
    """K vectors; the first training batch sets them to vectors of its own, so that each is near some image.

    Args:
        size: K, 2 to 256.
        dim: D.

    Raises:
        UserError: `size` out of range.
    """

    ready: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if not 2 <= size <= 256:
            raise UserError(f"model.codes is {size}: want 2 to 256")
        self.vectors = nn.Parameter(torch.randn(size, dim))
        # In the checkpoint: a model that is trained further must not be set anew.
        self.register_buffer("ready", torch.tensor(False))
        self._known_ready = False  # once true it is never read from the device again

    @torch.no_grad()
    def _set(self, rows: Tensor) -> None:
        chosen = rows[torch.randint(len(rows), (len(self.vectors),), device=rows.device)]
        # Without it, vectors drawn twice would stay the same for ever.
        chosen = chosen + 0.01 * rows.std() * torch.randn_like(chosen)
        self.vectors.copy_(from_first_process(chosen))
        self.ready.fill_(True)

    def forward(self, z: Tensor) -> Tensor:
        """(B, D, h, w) -> the number of the nearest vector, int64 (B, h, w)."""
        rows = z.detach().movedim(1, -1).flatten(0, 2)
        if self.training and not self._known_ready:
            if not self.ready:
                self._set(rows)
            self._known_ready = True
        centre = self.vectors.mean(0)  # distances stay, and products do not lose their digits to a large mean
        vectors = self.vectors - centre
        distance = vectors.square().sum(1) - 2.0 * (rows - centre) @ vectors.T  # and |z|^2, the same for all
        return distance.argmin(1).view(len(z), *z.shape[2:])

    def look_up(self, index: Tensor) -> Tensor:
        """Look vectors up, int (B, h, w) -> (B, D, h, w)."""
        return self.vectors[index.long()].movedim(-1, 1)
