"""Label maps drawn in colours: from a colour picture to the class of each pixel, and the colours found in a set."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from lightning_gen.errors import UserError

__all__ = ["Colours", "classes_of", "find_palette"]

#: RGB, 0..255, of each class
Colours = tuple[tuple[int, ...], ...]
#: largest difference of a channel between neighbours inside an area of one colour; a JPEG's noise is below it
_FLAT = 12
#: distance within which a colour counts as one of the palette; the colours of facades are 58 and more apart
_NEAR = 40.0
#: distance within which two colours of a set are one colour with noise
_SAME = 24.0
#: share of a picture's flat pixels that may be far from every colour: dust, a scanned border
_STRAY = 0.01
#: share of a set's flat pixels below which a colour is noise
_RARE = 2e-4


def classes_of(picture: Image.Image, palette: Colours, name: str) -> np.ndarray:
    """Find the nearest colour of the palette for each pixel, by Euclidean distance of RGB.

    Args:
        picture: of any mode.
        palette: one or more colours.
        name: of the picture, for the message.

    Returns:
        uint8 (H, W), indices into the palette.

    Raises:
        UserError: more than 1 % of the pixels inside areas of one colour are far from every colour of the palette.
            Borders between areas do not count: a JPEG mixes them.
    """
    pixels = np.asarray(picture.convert("RGB"))
    nearest, squared = _nearest(pixels, palette)
    flat = _flat(pixels)
    strays = flat & (squared > _NEAR**2)
    if strays.sum() > _STRAY * max(1, flat.sum()):
        codes, counts = np.unique(_codes(pixels[strays]), return_counts=True)
        colour = tuple(int(v) for v in _decoded(codes[counts.argmax() :][:1])[0])
        share = f"{100 * strays.sum() / flat.sum():.0f} % of its areas are"
        raise UserError(
            f"picture {name} has the colour {colour}; {share} far from all {len(palette)} colours of the palette: want "
            "a label map in these colours"
        )
    return nearest


def find_palette(pictures: Iterable[Image.Image], limit: int) -> Colours:
    """Find the colours of label maps: those that fill areas, the most frequent first; noise around them is theirs.

    Args:
        pictures: label maps, one or more.
        limit: on the number of colours.

    Returns:
        Colours in order of their RGB values.

    Raises:
        UserError: there are more colours than `limit`, as in a photo, or fewer than two.
    """
    counts: dict[int, int] = {}
    for picture in pictures:
        pixels = np.asarray(picture.convert("RGB"))
        pixels = pixels[_flat(pixels)]
        for code, count in zip(*np.unique(_codes(pixels), return_counts=True), strict=True):
            counts[int(code)] = counts.get(int(code), 0) + int(count)
    codes = np.array(sorted(counts, key=lambda code: (-counts[code], code)), dtype=np.int64)
    colours, weights = _decoded(codes), np.array([counts[int(code)] for code in codes], dtype=np.int64)
    palette: list[tuple[int, ...]] = []
    while len(colours):
        own = ((colours - colours[0]) ** 2).sum(1) <= _SAME**2
        if weights[own].sum() >= _RARE * sum(counts.values()):
            palette.append(tuple(int(v) for v in colours[0]))
        colours, weights = colours[~own], weights[~own]
        if len(palette) > limit:
            raise UserError(f"label maps have more than {limit} colours: want label maps, or their palette")
    if len(palette) < 2:
        raise UserError(f"label maps have {len(palette)} colours in areas: want two or more, or their palette")
    return tuple(sorted(palette))


def _flat(pixels: np.ndarray) -> np.ndarray:
    """Which pixels of (H, W, 3) lie inside an area of one colour, two pixels from its border. bool (H, W)."""
    values = pixels.astype(np.int16)
    down, right = (np.abs(np.diff(values, axis=axis)).max(2) <= _FLAT for axis in (0, 1))
    alike = np.ones(pixels.shape[:2], dtype=bool)
    for part, near in ((alike[1:], down), (alike[:-1], down), (alike[:, 1:], right), (alike[:, :-1], right)):
        part &= near
    flat = alike.copy()
    for axis in (0, 1):  # a JPEG of half the colour resolution mixes colours in plateaus of two pixels
        for shift in (1, -1):
            flat &= np.roll(alike, shift, axis)
    return flat


def _codes(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.int64) @ np.array([65536, 256, 1])


def _decoded(codes: np.ndarray) -> np.ndarray:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)


def _nearest(pixels: np.ndarray, palette: Colours) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (H, W, 3) -> uint8 (H, W), the nearest colour of each, and its squared distance, int32 (H, W)."""
    channels = [pixels[:, :, c].astype(np.int32) for c in range(3)]
    best = np.full(pixels.shape[:2], 1 << 30, dtype=np.int32)
    nearest = np.zeros(pixels.shape[:2], dtype=np.uint8)
    for i, colour in enumerate(palette):  # one after the other: a table of all distances would not stay in the cache
        squared = sum((channel - value) ** 2 for channel, value in zip(channels, colour, strict=True))
        nearest[squared < best] = i
        np.minimum(best, squared, out=best)
    return nearest, best
