"""The file of compressed images.

``LG`` and its version; hash of the model; channels, height, width, levels - 1, number of images; checksum; the code
words. Numbers are varints. A wrong model or a damaged file is refused.
"""

import hashlib
import struct
import zlib

from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts import ImageModule
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.tasks.common.coders import Coder

__all__ = ["pack", "unpack"]

#: images of a file, more than any machine decodes
_MOST = 10_000_000
_MAGIC = b"LG\x01"


def pack(module: ImageModule, coder: Coder, batch: Batch) -> tuple[bytes, float]:
    """Make the file's content, and say what its images cost by the model, in nats (labels included, coded evenly)."""
    image, spec = batch["image"], module.spec
    words, nats = coder.encode(batch)
    numbers = (spec.channels, spec.height, spec.width, spec.levels - 1, len(image))
    header = _MAGIC + _hash(module) + b"".join(map(_varint, numbers))
    return header + struct.pack("<I", _checksum(image, words)) + words, nats


def unpack(module: ImageModule, coder: Coder, content: bytes) -> Tensor:
    """Restore the images of a file's content, uint8 (N, C, H, W).

    Raises:
        UserError: not such a file; another model; damaged.
    """
    if content[:3] != _MAGIC:
        raise UserError("file is not one that lightning-gen compress of this version wrote")
    if content[3:7] != _hash(module):
        raise UserError(
            f"file was written with model {content[3:7].hex()}: this one is {_hash(module).hex()}, want the same"
        )
    numbers, at = [], 7
    for _ in range(5):
        number, at = _read_varint(content, at)
        numbers.append(number)
    spec, count = ImageSpec(numbers[0], numbers[1], numbers[2], numbers[3] + 1), numbers[4]
    if not spec.fits(module.spec) or len(content) < at + 4 or count > _MOST:
        raise UserError("file is damaged: its header does not fit its model")
    (checksum,), words = struct.unpack("<I", content[at : at + 4]), content[at + 4 :]
    try:
        image = coder.decode(words, count)
    except (ValueError, AssertionError) as error:
        raise UserError("file is damaged: its code words make no images") from error
    if _checksum(image, words) != checksum:
        raise UserError("file is damaged, or was written on a machine that rounds otherwise: its checksum is wrong")
    return image


def _hash(module: ImageModule) -> bytes:
    """4 bytes over the weights and their names."""
    digest = hashlib.sha256(type(module).__name__.encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()[:4]


def _checksum(image: Tensor, words: bytes) -> int:
    return zlib.crc32(words, zlib.crc32(image.contiguous().numpy().tobytes()))


def _varint(number: int) -> bytes:
    """7 bits per byte, the lowest first; the high bit says that more follow."""
    out = b""
    while number >= 128:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    """The number, and the place behind it."""
    number = shift = 0
    while at < len(content) and shift <= 28:
        byte, at = content[at], at + 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at
    raise UserError("file is damaged: its header is cut off")
