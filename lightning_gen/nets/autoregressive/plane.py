"""The input of a convolution that is filled in pixel by pixel: what readers are made of."""

from torch import Tensor
from torch.nn.functional import linear

__all__ = ["Plane"]


class Plane:
    """The padded input of one convolution, features last, filled in as it becomes known; the convolution at one place
    is a matrix product, which costs far less to start.

    Args:
        x: (B, ..., H, W), of the size of the input.
        matrix: (out, rows * columns * in), and the bias.
        kernel: rows, columns.
        padding: above, and to the left; to the right there is enough.
        stride: of the convolution.
    """

    def __init__(
        self,
        x: Tensor,
        matrix: tuple[Tensor, Tensor | None],
        kernel: tuple[int, int],
        padding: tuple[int, int],
        stride: int = 1,
    ) -> None:
        self.matrix, self.kernel, self.stride = matrix, kernel, stride
        self.top, self.left = padding
        self.height, self.width = x.shape[-2:]
        features = matrix[0].shape[1] // (kernel[0] * kernel[1])
        self.values = x.new_zeros(len(x), self.height + self.top, self.width + kernel[1] - 1, features)

    def put(self, row: int, column: int | None, value: Tensor) -> None:
        """Put (B, in) at one place, or (B, W, in) in a whole row, where `column` is None."""
        here = slice(self.left, self.left + self.width) if column is None else self.left + column
        self.values[:, row + self.top, here] = value

    def follow(self, x: Tensor, row: int) -> None:
        """Take in what may have changed of the image `x` (B, in, H, W) since a pixel of it was read last, where one of
        this row is next: as far back as the end of the row above."""
        for changed in range(max(row - 1, 0), row + 1):
            self.put(changed, None, x[:, :, changed].mT)

    def at(self, row: int, column: int | None) -> Tensor:
        """Compute the convolution at one place of its output, (B, out), or in a row, (B, W, out) with `column` None."""
        (rows, columns), stride = self.kernel, self.stride
        band = self.values[:, stride * row : stride * row + rows]
        if column is None:  # (B, rows, W, in, columns)
            return linear(band.unfold(2, columns, stride).permute(0, 2, 1, 4, 3).flatten(2), *self.matrix)
        return linear(band[:, :, stride * column : stride * column + columns].flatten(1), *self.matrix)
