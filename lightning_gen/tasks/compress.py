"""Lossless compression of images with a model that knows exact probabilities, by range coding; `decompress` undoes it.

The file: ``LG`` and its version; hash of the model; channels, height, width, levels - 1, number of images; checksum;
the code words. Numbers are varints. A wrong model or a damaged file is refused.
"""

import hashlib
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gen.arguments import Arguments
from lightning_gen.base import Batch, ImageModule, Place, SequentialModule, condition_of
from lightning_gen.errors import UserError
from lightning_gen.files import atomic_write
from lightning_gen.images import ImageSpec
from lightning_gen.loading import checkpoint_path, load_data, load_module

__all__ = ["load_coder", "main", "pack", "unpack"]

_MAGIC = b"LG\x01"
#: images coded side by side; part of the format, for the same probabilities need the same batches
_BLOCK = 64
#: probabilities are whole multiples of one in this many, 1 at least: rounding differences far below it change nothing
_STEPS = 2**20


def main(arguments: list[str]) -> None:
    """``lightning-gen compress RUN --out FILE [--split test] [--data CONFIG]``."""
    parser = Arguments("compress", __doc__)
    parser.run()
    parser.add_argument("--data", type=Path, metavar="CONFIG", help="YAML of another data set (the run's own)")
    parser.add_argument("--split", choices=["train", "val", "test"], default="test", help="images (test)")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)

    module = load_coder(options.run, options.checkpoint)
    data = load_data(options.data or options.run / "config.yaml")
    if (data.spec.shape, data.spec.levels) != (module.spec.shape, module.spec.levels):
        raise UserError(f"data {data.name} is {data.spec}: {type(module).__name__} wants {module.spec}")
    parts = list(data.batches(options.split, _BLOCK))
    batch = {key: torch.cat([part[key] for part in parts]) for key in ("image", *module.condition_keys)}
    content, nats = pack(module, batch)
    with atomic_write(options.out) as stream:
        stream.write(content)
    ideal, count = nats / np.log(2.0), batch["image"].numel()
    size = f"{len(batch['image'])} images, {len(content):,} bytes, {8 * len(content) / count:.4f} bits/dim"
    likelihood = f"negative log-likelihood {ideal / 8:,.1f} bytes, {ideal / count:.4f} bits/dim"
    print(f"{options.out}: {size}; {likelihood}")


def load_coder(run: Path, checkpoint: str) -> Any:
    """The model of a run in float64, on the CPU.

    Raises:
        UserError: it has no exact probabilities, or is conditioned on more than a label.
    """
    module = load_module(checkpoint_path(run, checkpoint))
    name = type(module).__name__
    if not isinstance(module, SequentialModule):
        raise UserError(f"{name} of run {run} cannot code: want a model with exact probabilities, autoregressive")
    if module.condition_keys not in ((), ("label",)):  # type: ignore[attr-defined]
        raise UserError(f"{name} of run {run} is conditioned on attributes: want one on labels or nothing")
    return module.double()


def pack(module: Any, batch: Batch) -> tuple[bytes, float]:
    """The file's content, and the negative log-likelihood of its images in nats (labels included, coded evenly)."""
    constriction = _constriction()
    encoder, image, nats = constriction.stream.queue.RangeEncoder(), batch["image"], 0.0
    family = constriction.stream.model.Categorical(perfect=False)
    labels = batch["label"].numpy().astype(np.int32) if module.condition_keys else None
    if labels is not None:
        encoder.encode(labels, constriction.stream.model.Uniform(module.spec.classes))
        nats += len(labels) * float(np.log(module.spec.classes))
    with _one_thread():
        for start in range(0, len(image), _BLOCK):
            part = {key: value[start : start + _BLOCK] for key, value in batch.items()}
            costs: list[float] = []

            def choose(p: Tensor, place: Place, part: Batch = part, costs: list[float] = costs) -> Tensor:
                level = part["image"][:, *place]
                costs.append(-float(p.gather(1, level.long()[:, None]).log().sum()))
                encoder.encode(level.numpy().astype(np.int32), family, _quantised(p))
                return level

            module.walk(len(part["image"]), choose, condition_of(part))
            nats += sum(costs)
    words = encoder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")
    spec = module.spec
    numbers = (spec.channels, spec.height, spec.width, spec.levels - 1, len(image))
    header = _MAGIC + _hash(module) + b"".join(map(_varint, numbers))
    return header + struct.pack("<I", _checksum(image, words)) + words, nats


def unpack(module: Any, content: bytes) -> Tensor:
    """The images of a file's content, uint8 (N, C, H, W).

    Raises:
        UserError: not such a file; another model; damaged.
    """
    constriction = _constriction()
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
    if (spec.shape, spec.levels) != (module.spec.shape, module.spec.levels) or len(content) < at + 4:
        raise UserError("file is damaged: its header does not fit its model")
    (checksum,), words = struct.unpack("<I", content[at : at + 4]), content[at + 4 :]
    padded = words + b"\0" * (-len(words) % 4)
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, "<u4").astype(np.uint32))
    try:
        image = _decode(module, decoder, count)
    except (ValueError, AssertionError) as error:
        raise UserError("file is damaged: its code words make no images") from error
    if _checksum(image, words) != checksum:
        raise UserError("file is damaged, or was written on a machine that rounds otherwise: its checksum is wrong")
    return image


def _decode(module: Any, decoder: Any, count: int) -> Tensor:
    constriction = _constriction()
    family = constriction.stream.model.Categorical(perfect=False)
    labels = None
    if module.condition_keys:
        labels = torch.from_numpy(decoder.decode(constriction.stream.model.Uniform(module.spec.classes), count)).long()
    blocks = []

    def choose(p: Tensor, place: Place) -> Tensor:
        return torch.from_numpy(decoder.decode(family, _quantised(p))).to(torch.uint8)

    with _one_thread():
        for start in range(0, count, _BLOCK):
            condition = None if labels is None else {"label": labels[start : start + _BLOCK]}
            blocks.append(module.walk(min(_BLOCK, count - start), choose, condition))
    return torch.cat(blocks)


def _quantised(p: Tensor) -> np.ndarray:
    """float64 (B, levels) -> the same as whole numbers of steps, by their sum: equal where the numbers are equal."""
    steps = (p * _STEPS).floor() + 1.0
    return np.ascontiguousarray((steps / steps.sum(1, keepdim=True)).numpy())


class _one_thread:  # noqa: N801
    """Inside, one thread: sums over several are rounded in another order."""

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        torch.set_num_threads(self.before)


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


def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise UserError("compress needs the package constriction: pip install 'lightning-gen[compress]'") from error
    return constriction
