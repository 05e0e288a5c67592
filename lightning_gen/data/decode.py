"""From the bytes of a picture file to uint8 levels of one shape."""

import io
from typing import Literal, final

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lightning_gen.errors import UserError

__all__ = ["Frame", "open_picture"]


def open_picture(content: bytes, name: str) -> Image.Image:
    """Decode one picture, upright, as 8-bit grey (mode L) or RGB. Transparent pixels lie on white.

    Args:
        content: of a file.
        name: of the file, for the message.

    Raises:
        UserError: it is no picture, is damaged or cut short, or has more than 8 bits per grey pixel.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(content))
        image.load()
        image = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "not a picture" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UserError(f"picture {name} cannot be decoded ({reason}): want a whole picture file") from error
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith(("I", "F")):
        raise UserError(f"picture {name} has pixels of mode {image.mode}: want 8 bits per channel")
    grey = image.mode in ("1", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


@final
class Frame:
    """What every picture of a set becomes: cut, resized, grey or colour.

    Args:
        size: height and width in pixels: the shorter side is resized to it (Lanczos, with antialiasing; smaller
            pictures are enlarged) and the middle is kept. None: pictures stay as they are, and must agree.
        channels: 1 makes grey (ITU-R 601 luma), 3 makes RGB; None: as the first picture.
        crop: side of the square that is cut from the middle before resizing (None: not).
    """

    def __init__(self, size: int | None = None, channels: Literal[1, 3] | None = None, crop: int | None = None) -> None:
        for key, value in (("size", size), ("crop", crop)):
            if value is not None and value < 1:
                raise UserError(f"data.{key} is {value}: want 1 or more pixels")
        self.size, self.channels, self.crop = size, channels, crop

    @property
    def fixed(self) -> tuple[int, int, int] | None:
        """(C, H, W) where it does not depend on the pictures, else None."""
        side = self.size or self.crop
        return (self.channels, side, side) if self.channels and side else None

    def shape(self, image: Image.Image) -> tuple[int, int, int]:
        """(C, H, W) of a set whose first picture is `image`."""
        side = self.size or self.crop
        width, height = (side, side) if side else image.size
        return self.channels or len(image.getbands()), height, width

    def __call__(self, image: Image.Image, shape: tuple[int, int, int], name: str) -> Tensor:
        """A picture of `open_picture` -> uint8 `shape`.

        Raises:
            UserError: neither `size` nor `channels` says what to do with a picture unlike the first.
        """
        channels, height, width = shape
        if self.crop is not None:
            image = self._cut(image, self.crop, self.crop, name)
        if self.size is not None:
            factor = self.size / min(image.size)
            sides = [max(self.size, round(side * factor)) for side in image.size]
            image = image.resize(sides, Image.Resampling.LANCZOS)
            image = self._cut(image, width, height, name)
        if image.size != (width, height):
            sizes = f"{image.width}x{image.height}, the first is {width}x{height}"
            raise UserError(f"picture {name} is {sizes}: want data.size to resize all")
        if self.channels is None and len(image.getbands()) > channels:
            raise UserError(f"picture {name} has colours, the first is grey: want data.channels 1 or 3")
        mode = "L" if channels == 1 else "RGB"
        pixels = np.array(image if image.mode == mode else image.convert(mode))
        return torch.from_numpy(pixels).view(height, width, channels).permute(2, 0, 1)

    @staticmethod
    def _cut(image: Image.Image, width: int, height: int, name: str) -> Image.Image:
        left, top = (image.width - width) // 2, (image.height - height) // 2
        if left < 0 or top < 0:
            here = f"{image.width}x{image.height}"
            raise UserError(f"data.crop is {width}, but picture {name} is {here}: want a crop inside every picture")
        return image.crop((left, top, left + width, top + height))
