"""The inputs of convolutions that are filled in pixel by pixel: what readers are made of.

A reader runs the same operations on the same memory at every pixel, so that they can be captured as a CUDA graph. Which
column is in work is a number on the device.
"""

import torch
from torch import Tensor
from torch.nn.functional import linear

__all__ = ["Cursor", "Matrix", "Planes", "RowPlane"]

#: of a convolution at one position: (out, rows * columns * in), and the bias
Matrix = tuple[Tensor, Tensor | None]


class Cursor:
    """The column in work, as indices on the device.

    Args:
        device: of the reader.
        widest: columns that are looked at, at most.
    """

    def __init__(self, device: torch.device, widest: int) -> None:
        self.start = torch.arange(widest, device=device)
        self.columns = self.start.clone()

    def restart(self) -> None:
        """Go to the first column."""
        self.columns.copy_(self.start)

    def advance(self) -> None:
        """Go to the next column."""
        self.columns.add_(1)

    def window(self, first: int, count: int = 1) -> Tensor:
        """Indices of `count` columns, beginning `first` to the right of the one in work, int64 (count,); they move
        with it."""
        return self.columns[first : first + count]


class Planes:
    """The padded inputs of several convolutions of equal kernel and features, as far as they are needed: the rows
    that a kernel covers, features last. At a pixel all their windows are looked up at once.

    Args:
        cursor: in the columns of the input.
        shape: B, W, and the features of the input.
        kernel: rows, columns.
        left: padding to the left; the value of the pixel in work lies in this column of its window.
        count: of convolutions.
        like: gives device and dtype.
    """

    def __init__(
        self,
        cursor: Cursor,
        shape: tuple[int, int, int],
        kernel: tuple[int, int],
        left: int,
        like: Tensor,
        count: int = 1,
    ) -> None:
        (batch, width, features), (rows, columns) = shape, kernel
        self.width, self.left = width, left
        self.lines = like.new_zeros(count, batch, rows, width + max(columns - 1, left), features)
        self.values = like.new_zeros(count, batch, rows, columns, features)
        self.columns, self.own = cursor.window(0, columns), cursor.window(left)
        #: of each convolution, what it sees as a vector (B, rows * columns * in)
        self.seen = list(self.values.flatten(2).unbind(0))
        #: of each, where the value (B, in) of the pixel in work goes
        self.here = list(self.values[:, :, -1, min(left, columns - 1)].unbind(0))
        self.made, self.last = self.values[:, :, -1, min(left, columns - 1), None], self.lines[:, :, -1]

    def descend(self) -> None:
        """Begin a row."""
        if self.lines.shape[2] > 1:
            self.lines[:, :, :-1] = self.lines[:, :, 1:].clone()

    def enter(self) -> None:
        """Begin a pixel: look up what is known around it."""
        torch.index_select(self.lines, 3, self.columns, out=self.values)

    def leave(self) -> None:
        """Keep the values of the pixel."""
        self.last.index_copy_(2, self.own, self.made)

    def put(self, value: Tensor) -> None:
        """Keep a value (B, in) of the first plane in place of the one in its window."""
        self.last[0].index_copy_(1, self.own, value[:, None])

    def row(self) -> Tensor:
        """The values of the first plane in the row in work, (B, W, in)."""
        return self.last[0, :, self.left : self.left + self.width]

    def state(self) -> Tensor:
        """What is kept, (B, ...)."""
        return self.lines.transpose(0, 1)


class RowPlane:
    """The padded input of a convolution that is filled in row by row, and computed for a row at a time.

    Args:
        shape: B, W, and the features of the input.
        matrix: of the convolution.
        kernel: rows, columns, with as much padding to either side.
        like: gives device and dtype.
        stride: of the convolution along the row; in the other direction it is the caller's.
    """

    def __init__(
        self, shape: tuple[int, int, int], matrix: Matrix, kernel: tuple[int, int], like: Tensor, stride: int = 1
    ) -> None:
        (batch, width, features), (rows, columns) = shape, kernel
        self.matrix, self.columns, self.stride = matrix, columns, stride
        self.values = like.new_zeros(batch, rows, width + columns - 1, features)
        self.inside = slice(columns // 2, columns // 2 + width)

    def push(self, value: Tensor) -> None:
        """Put a row (B, W, in) below those before."""
        if self.values.shape[1] > 1:
            self.values[:, :-1] = self.values[:, 1:].clone()
        self.values[:, -1, self.inside] = value

    def at(self) -> Tensor:
        """Compute the convolution of the last rows, (B, W / stride, out)."""
        windows = self.values.unfold(2, self.columns, self.stride)  # (B, rows, W, in, columns)
        return linear(windows.permute(0, 2, 1, 4, 3).flatten(2), *self.matrix)
