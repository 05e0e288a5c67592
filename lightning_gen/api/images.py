"""Images in a notebook: a tensor that shows itself as a grid."""

import io
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_gen.files import write_png
from lightning_gen.images import grid

__all__ = ["Images"]


class Images:
    """Images of one shape; a notebook shows them as a grid.

    Args:
        tensor: uint8 (N, C, H, W), values 0..levels-1, on the CPU.
        levels: grey levels per channel, 2..256.
        columns: images per row of the grid.
    """

    def __init__(self, tensor: Tensor, levels: int, columns: int = 8) -> None:
        self.tensor, self.levels, self.columns = tensor.detach().cpu(), levels, columns

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: int | slice | Tensor) -> "Images":
        """The images of these numbers; one number gives a set of one."""
        chosen = self.tensor[index : index + 1 or None] if isinstance(index, int) else self.tensor[index]
        return Images(chosen, self.levels, self.columns)

    def __repr__(self) -> str:
        count, *shape = self.tensor.shape
        return f"Images({count} of {'x'.join(map(str, shape))}, {self.levels} levels)"

    def grid(self, columns: int | None = None) -> Tensor:
        """The grid for people: uint8 (rows', columns', 3), values 0..255."""
        return grid(self.tensor, self.levels, columns or self.columns)

    def save(self, path: str | Path) -> Path:
        """Write the grid as PNG, atomically."""
        write_png(path, self.grid().numpy())
        return Path(path)

    def pil(self) -> Any:
        """The grid as a picture of PIL."""
        from PIL import Image

        return Image.fromarray(self.grid().numpy())

    def _repr_png_(self) -> bytes | None:
        if not len(self):
            return None
        stream = io.BytesIO()
        self.pil().save(stream, format="PNG")
        return stream.getvalue()
