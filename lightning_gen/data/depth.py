"""Pictures of 16 bits per channel, of which Pillow keeps the upper 8 alone where they are not plain grey."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from lightning_gen.errors import UserError

__all__ = ["eight_bits"]

#: raw modes that unpack the upper byte of each value, and those that unpack the lower one of the same bytes
_LOWER = {"16B": "16L", "16L": "16B", "16N": "16B"}
_OPAQUE = 65535


def eight_bits(content: bytes, image: Image.Image, name: str, load: Callable[..., Image.Image]) -> Image.Image | None:
    """Bring a picture of 16 bits per channel to 8: value * 255 / 65535, rounded.

    Args:
        content: of the file.
        image: opened, not yet loaded.
        name: of the file, for the message.
        load: ``load(content, rawmode)`` decodes upright, with another raw mode where one is given.

    Returns:
        A picture of mode L, LA, RGB or RGBA; None where `image` has no 16 bits.

    Raises:
        UserError: no value is above 255, so that it was meant to be of 8 bits; or the kind of file is not known.
    """
    raw = _raw_mode(image)
    plain_grey = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
    if not plain_grey and not raw.endswith((";16B", ";16L", ";16N")):  # BGR;16 has 16 bits per pixel
        return None
    values = _grey(content, load) if plain_grey else _channels(content, raw, name, load)
    colours = values.shape[2] - (values.shape[2] % 2 == 0)
    largest = int(values[:, :, :colours].max())
    if 0 < largest < 256:
        raise UserError(f"picture {name} has 16 bits per channel, but no value above {largest}: want 8 bits, or all 16")
    values = _with_transparency(values, image.info.get("transparency"))
    pixels = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 255 = 257
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _grey(content: bytes, load: Callable[..., Image.Image]) -> np.ndarray:
    return np.asarray(load(content)).astype(np.int64).clip(0, _OPAQUE)[:, :, None]


def _channels(content: bytes, raw: str, name: str, load: Callable[..., Image.Image]) -> np.ndarray:
    """All 16 bits of colour, or of grey with transparency: int64 (H, W, C)."""
    bands, _, order = raw.partition(";")
    if bands == "LA" and content.startswith(b"\x89PNG"):
        # The same bytes, read as a PNG of four channels of 8 bits: grey upper, lower, alpha upper, lower.
        head = content[12:24] + bytes([8, 6]) + content[26:29]
        pairs = np.asarray(load(content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]))
        return pairs[:, :, ::2].astype(np.int64) * 256 + pairs[:, :, 1::2]
    if bands not in ("RGB", "RGBA") or order not in _LOWER:
        raise UserError(f"picture {name} has 16 bits per channel of kind {raw}: want 8 bits, or grey or RGB")
    upper, lower = (np.asarray(load(content, rawmode)) for rawmode in (raw, f"{bands};{_LOWER[order]}"))
    return upper.astype(np.int64) * 256 + lower


def _with_transparency(values: np.ndarray, clear: object) -> np.ndarray:
    """Add the channel that a PNG's one transparent colour stands for."""
    if clear is None or values.shape[2] % 2 == 0:
        return values
    same = (values == np.asarray(clear).reshape(1, 1, -1)).all(2, keepdims=True)
    return np.concatenate([values, np.where(same, 0, _OPAQUE)], 2)
