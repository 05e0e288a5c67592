"""From the bytes of a picture file to uint8 levels of one shape."""

import io
from typing import Any, Literal, final

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lightning_gen.data.depth import eight_bits
from lightning_gen.errors import UserError

__all__ = ["Frame", "open_layers", "open_picture"]


#: never others: Pillow hands PostScript to a program outside
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")


def open_picture(content: bytes, name: str) -> Image.Image:
    """Decode one picture, upright, as 8-bit grey (mode L) or RGB. Transparent pixels lie on white.

    Values of 16 bits are brought to 8 by their share of 65535. A palette of greys is grey.

    Args:
        content: of a file.
        name: of the file, for the message.

    Raises:
        UserError: it is no picture, is damaged or cut short, or has pixels of 32 bits.
    """
    picture, alpha = open_layers(content, name)
    if alpha is None:
        return picture
    white = Image.new(picture.mode, picture.size, "white")
    return Image.composite(picture, white, alpha)


def open_layers(content: bytes, name: str) -> tuple[Image.Image, Image.Image | None]:
    """Do the same, but leave transparent pixels their colour: the picture, and its alpha channel where it has one.

    Raises:
        UserError: as `open_picture`.
    """
    try:
        opened = Image.open(io.BytesIO(content), formats=_FORMATS)
        image = eight_bits(content, opened, name, _load) or _upright(opened)
        return _layers(image, name, content)
    except UserError:
        raise
    except Exception as error:  # the decoders raise whatever the damage leads them to
        reason = "not a picture" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        reason = " ".join(reason.split())[:200] or type(error).__name__
        raise UserError(f"picture {name} cannot be decoded ({reason}): want a whole picture file") from error


def _load(content: bytes, rawmode: str | None = None) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(content), formats=_FORMATS)
    if rawmode is not None:
        tiles: Any = image
        args = [(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode for tile in tiles.tile]
        tiles.tile = [tile._replace(args=new) for tile, new in zip(tiles.tile, args, strict=True)]
    return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    return ImageOps.exif_transpose(image)


def _layers(image: Image.Image, name: str, content: bytes) -> tuple[Image.Image, Image.Image | None]:
    """Part colours and alpha; bring a palette and other modes to grey or RGB."""
    if image.mode.startswith(("I", "F")):
        raise UserError(f"picture {name} has pixels of mode {image.mode}: want 8 or 16 bits per channel")
    grey, alpha = image.mode in ("1", "L", "LA", "La") or _has_grey_palette(image), None
    if image.has_transparency_data:
        image = _with_alpha(image, content)
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    return (image if image.mode == ("L" if grey else "RGB") else image.convert("L" if grey else "RGB")), alpha


def _with_alpha(image: Image.Image, content: bytes) -> Image.Image:
    clear = image.info.get("transparency")
    if image.mode in ("1", "L") and isinstance(clear, int):
        # A PNG of 1, 2 or 4 bits names its transparent grey in these bits, Pillow has spread the pixels to 8.
        bits = content[24] if content.startswith(b"\x89PNG") else 8
        alpha = image.convert("L").point([0 if v == clear * 255 // (2**bits - 1) else 255 for v in range(256)])
        return Image.merge("RGBA", [image.convert("L")] * 3 + [alpha])
    return image.convert("RGBA")


def _has_grey_palette(image: Image.Image) -> bool:
    """Whether all colours that the picture uses of its palette are greys."""
    if image.mode not in ("P", "PA"):
        return False
    counts = np.array(image.getchannel(0).histogram())
    colours = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = colours[np.flatnonzero(counts[: len(colours)])]
    return len(used) > 0 and bool((used == used[:, :1]).all())


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
