"""Transparency, 16 bits, palettes: what a picture file says is what the levels are."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lightning_gen.data.decode import open_picture
from lightning_gen.errors import UserError

COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> the colour type of PNG


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(values, bits=16, clear=b""):
    """Integers (H, W, C) -> a PNG of 8 or 16 bits, or of grey of fewer, whose row fits into one byte."""
    height, width, channels = values.shape
    if bits < 8:
        rows = [bytes([sum(int(v) << (8 - bits * (i + 1)) for i, v in enumerate(row[:, 0]))]) for row in values]
    else:
        rows = [row.astype(">u2" if bits == 16 else "u1").tobytes() for row in values]
    head = struct.pack(">IIBBBBB", width, height, bits, COLOUR[channels], 0, 0, 0)
    chunks = [_chunk(b"IHDR", head), _chunk(b"tRNS", clear) if clear else b""]
    chunks += [_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _pixels(content):
    image = open_picture(content, "x")
    assert image.mode in ("L", "RGB")
    return np.asarray(image).reshape(image.height, image.width, -1).tolist()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_become_their_share_of_255(channels):
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, channels))
    values[0, 0] = 65535
    colours = values[..., : channels - (channels % 2 == 0)] / 65535
    alpha = values[..., -1:] / 65535 if channels % 2 == 0 else 1.0
    wanted = 255 * (colours * alpha + 1 - alpha)
    found = np.array(_pixels(_png(values)))
    assert np.abs(found - wanted).max() <= (0.5 if channels % 2 else 1.5)  # blending rounds once more


def test_sixteen_bits_of_tiff_and_pgm():
    values = np.random.default_rng(0).integers(256, 65536, (5, 7)).astype(np.uint16)
    wanted = np.rint(values / 257)
    for form in ("TIFF", "PNG", "PPM"):
        stream = io.BytesIO()
        Image.fromarray(values).save(stream, format=form)
        assert np.abs(np.array(_pixels(stream.getvalue()))[..., 0] - wanted).max() <= 0.5


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_eight_bits_in_a_file_of_sixteen_are_refused_and_black_is_black(channels):
    values = np.random.default_rng(0).integers(1, 200, (5, 7, channels))
    values[0, 0] = 199
    if channels % 2 == 0:
        values[..., -1] = 65535
    with pytest.raises(UserError, match="picture x has 16 bits per channel, but no value above 199: want 8 bits"):
        open_picture(_png(values), "x")
    values[..., : channels - (channels % 2 == 0)] = 0
    assert np.max(_pixels(_png(values))) == 0


@pytest.mark.parametrize("bits", [8, 16])
def test_the_transparent_colour_of_rgb_lies_on_white(bits):
    top = 2**bits - 1
    values = np.array([[[1, 2, 3], [1, 2, 4], [top, 0, 0]]])
    found = _pixels(_png(values, bits, struct.pack(">HHH", 1, 2, 3)))
    assert found[0][0] == [255, 255, 255]
    assert found[0][1] == ([1, 2, 4] if bits == 8 else [0, 0, 0])
    assert found[0][2] == [255, 0, 0]


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_level_of_grey_lies_on_white(bits):
    top = 2**bits - 1
    found = _pixels(_png(np.array([[[0], [top]]]), bits, struct.pack(">H", 0)))
    assert found == [[[255], [255]]]
    found = _pixels(_png(np.array([[[0], [top]]]), bits, struct.pack(">H", top)))
    assert found == [[[0], [255]]]
    if bits in (2, 4):
        found = _pixels(_png(np.array([[[0], [1]]]), bits, struct.pack(">H", 1)))
        assert found == [[[0], [255]]]


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_a_palette_of_greys_is_grey_and_one_of_colours_is_not(form):
    image = Image.new("P", (4, 1))
    image.putpalette([0, 0, 0, 90, 90, 90, 200, 10, 10] + [0] * 12)
    for index, wanted in ((1, [90]), (2, [200, 10, 10])):
        image.putdata([1, 1, 1, index])
        stream = io.BytesIO()
        image.save(stream, format=form)
        assert _pixels(stream.getvalue())[0][3] == wanted


def test_postscript_under_the_name_of_a_picture_is_no_picture():
    with pytest.raises(UserError, match="not a picture"):
        open_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "x.png")


def test_thirty_two_bits_are_refused():
    stream = io.BytesIO()
    Image.fromarray(np.full((3, 3), 0.5, np.float32)).save(stream, format="TIFF")
    with pytest.raises(UserError, match="pixels of mode F: want 8 or 16 bits"):
        open_picture(stream.getvalue(), "x")
