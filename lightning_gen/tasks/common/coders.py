"""Images to code words and back without loss: range coding by exact probabilities, bits back by a Gaussian code."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lightning_gen.batches import Batch, select_rows, without_image
from lightning_gen.contracts import BitsBackModule, ImageModule, Place, SequentialModule
from lightning_gen.errors import UserError
from lightning_gen.tasks.common.require import check_finite

__all__ = ["BitsBackCoder", "Coder", "RangeCoder", "coder_of"]

#: images coded side by side; part of the format, for the same probabilities need the same batches
_BLOCK = 64
#: bits that the last words of a file may hold beyond its length: zeros at its end are not written
_SLACK = 1 << 13
#: probabilities are whole multiples of one in this many, 1 at least: rounding differences far below it change nothing
_STEPS = 2**20


class Coder(ABC):
    """Writes and reads images with the probabilities of one model, in float64 on the CPU.

    Raises:
        UserError: the package constriction is not there.
    """

    #: what `encode` counts
    cost: str

    def __init__(self) -> None:
        try:
            import constriction
        except ImportError as error:
            raise UserError("compress needs the package constriction: pip install 'lightning-gen[compress]'") from error
        self.streams: Any = constriction.stream
        self.family = constriction.stream.model.Categorical(perfect=False)

    @abstractmethod
    def encode(self, batch: Batch) -> tuple[bytes, float]:
        """Encode images uint8 (N, C, H, W) -> code words, and what the model says that they cost, in nats."""

    @abstractmethod
    def decode(self, words: bytes, count: int) -> Tensor:
        """Decode `count` images, uint8 (count, C, H, W).

        Raises:
            ValueError, AssertionError: words that make no images.
        """


def coder_of(module: ImageModule, name: str) -> Coder:
    """Find the way this model can code.

    Args:
        module: in eval mode, on the CPU.
        name: of the run, for the message.

    Raises:
        UserError: it has neither exact probabilities nor a Gaussian code, or is conditioned on more than a label.
    """
    check_finite(module)
    kind = f"{type(module).__name__} of run {name}"
    if isinstance(module, SequentialModule):
        if module.condition_keys not in ((), ("label",)):
            raise UserError(f"{kind} is conditioned on attributes: want one on labels or nothing")
        return RangeCoder(module.double())
    if isinstance(module, BitsBackModule):
        return BitsBackCoder(module.double())
    raise UserError(
        f"{kind} cannot code: want a model with exact probabilities, autoregressive, or a VAE with a Gaussian code"
    )


@final
class RangeCoder(Coder):
    """Each value by its exact probability given those before it (range coding); labels, where there are any, evenly.

    Args:
        module: an `ImageModule` that is a `SequentialModule`.
    """

    cost = "negative log-likelihood"

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def encode(self, batch: Batch) -> tuple[bytes, float]:
        module, encoder, nats = self.module, self.streams.queue.RangeEncoder(), 0.0
        if module.condition_keys:
            labels = batch["label"].numpy().astype(np.int32)
            encoder.encode(labels, self.streams.model.Uniform(module.spec.classes))
            nats += len(labels) * float(np.log(module.spec.classes))
        with _one_thread():
            for start in range(0, len(batch["image"]), _BLOCK):
                part = select_rows(batch, start, start + _BLOCK)
                costs: list[float] = []

                def choose(p: Tensor, place: Place, part: Batch = part, costs: list[float] = costs) -> Tensor:
                    level = part["image"][:, *place]
                    costs.append(_cost(p, level))
                    encoder.encode(level.numpy().astype(np.int32), self.family, _quantised(p))
                    return level

                module.decode_sequentially(len(part["image"]), choose, without_image(part))
                nats += sum(costs)
        return _bytes(encoder.get_compressed()).rstrip(b"\0"), nats

    def decode(self, words: bytes, count: int) -> Tensor:
        module, labels = self.module, None
        decoder = self.streams.queue.RangeDecoder(_words(words))
        if module.condition_keys:
            labels = torch.from_numpy(decoder.decode(self.streams.model.Uniform(module.spec.classes), count)).long()
        blocks, nats, most = [], 0.0, (8 * len(words) + _SLACK) * float(np.log(2.0))

        def choose(p: Tensor, place: Place) -> Tensor:
            nonlocal nats
            q = _quantised(p)
            level = torch.from_numpy(decoder.decode(self.family, q)).to(torch.uint8)
            nats += _cost(torch.from_numpy(q), level)
            if nats > most:  # behind its end the decoder would go on making images without end
                raise ValueError("more images than words")
            return level

        with _one_thread():
            for start in range(0, count, _BLOCK):
                condition: Batch | None = None if labels is None else {"label": labels[start : start + _BLOCK]}
                blocks.append(module.decode_sequentially(min(_BLOCK, count - start), choose, condition))
        return torch.cat(blocks)


@final
class BitsBackCoder(Coder):
    """Bits back with asymmetric numeral systems (Townsend et al. 2019): the code z of an image is drawn from q(z|x) by
    reading it off what has been written already, then the pixels are written by p(x|z) and z by p(z). Reading an image
    gives the bits that drew its z back, so that it costs -log p(x|z) - log p(z) + log q(z|x), on average the negative
    ELBO. The first image borrows words that mean nothing, and which stay in the file.

    z lies in one of `bins` intervals per variable, equally likely under the prior (Section 2.5.1). Their numbers are
    turned by a known amount, another one for each image, before they are written: the next image's code is drawn from
    these very bits, and would repeat this one's where the posterior is close to the prior.

    Args:
        module: an `ImageModule` that is a `BitsBackModule`.
        bins: a power of two, at most 65,536.
    """

    cost = "negative ELBO"

    def __init__(self, module: Any, bins: int = 2**12) -> None:
        super().__init__()
        self.module, self.bins = module, bins
        self.prior = self.streams.model.Uniform(bins)
        grid = torch.arange(bins + 1, dtype=torch.float64) / bins
        self.edges, self.middles = torch.special.ndtri(grid), torch.special.ndtri(grid[:-1] + 0.5 / bins)
        # Enough for the first code, and two words that keep the coder's state full.
        borrowed = 4 * (module.latent_dim * (bins - 1).bit_length() // 32 + 3)
        self.borrowed = _words(hashlib.shake_256(b"bits back").digest(borrowed))

    @torch.no_grad()
    def encode(self, batch: Batch) -> tuple[bytes, float]:
        stack, nats = self.streams.stack.AnsCoder(self.borrowed, True), 0.0
        with _one_thread():
            for number, image in enumerate(batch["image"].split(1)):
                likely = self._likely(image)
                code = np.array([first + int(stack.decode(self.family, p)[0]) for first, p in likely], np.int32)
                nats += sum(float(np.log(p[0, k - first])) for k, (first, p) in zip(code, likely, strict=True))
                pixels = [
                    (self._flat(self.module.pixel_pmf(self._z(code), image, c)), image[:, c].flatten())
                    for c in range(image.shape[1])
                ]
                for p, level in reversed(pixels):
                    stack.encode_reverse(level.numpy().astype(np.int32), self.family, _quantised(p))
                stack.encode_reverse((code + self._turn(number)) % self.bins, self.prior)
                nats += sum(_cost(p, level) for p, level in pixels) + len(code) * float(np.log(self.bins))
        return _bytes(stack.get_compressed()), nats

    @torch.no_grad()
    def decode(self, words: bytes, count: int) -> Tensor:
        stack, images = self.streams.stack.AnsCoder(_words(words)), []
        with _one_thread():
            for number in reversed(range(count)):  # what was written last is on top
                if stack.is_empty():
                    raise ValueError("more images than words")
                code = (stack.decode(self.prior, self.module.latent_dim) - self._turn(number)) % self.bins
                image = torch.zeros(1, *self.module.spec.shape, dtype=torch.uint8)
                for c in range(image.shape[1]):
                    p = self._flat(self.module.pixel_pmf(self._z(code), image, c))
                    level = torch.from_numpy(stack.decode(self.family, _quantised(p)))
                    image[:, c] = level.view_as(image[:, c])
                for k, (first, q) in reversed(list(zip(code, self._likely(image), strict=True))):
                    if not 0 <= k - first < q.shape[1]:
                        raise ValueError("no such code")
                    stack.encode_reverse(np.array([k - first], np.int32), self.family, q)
                images.append(image)
        assert np.array_equal(stack.get_compressed(unseal=True), self.borrowed)
        return torch.cat(images[::-1])

    def _turn(self, number: int) -> np.ndarray:
        """Of the image of this number, int32 (Z,)."""
        digest = hashlib.shake_256(number.to_bytes(8, "little")).digest(2 * self.module.latent_dim)
        return (np.frombuffer(digest, "<u2") % self.bins).astype(np.int32)

    def _likely(self, image: Tensor) -> list[tuple[int, np.ndarray]]:
        """image (1, C, H, W) -> for each variable the intervals that matter under q(z|x): number of the first, and the
        probabilities of it and those that follow, (1, n). The others would be drawn too often, as a coder gives none
        the probability 0."""
        mean, log_scale = (value[0, :, None] for value in self.module.gaussian_code(image))
        below = torch.special.ndtr((self.edges - mean) * (-log_scale).exp())
        q = below[:, 1:] - below[:, :-1]
        found = []
        for row in q:
            place = (row > 1 / _STEPS).nonzero()
            first, last = int(place[0]), int(place[-1])
            found.append((first, _quantised(row[None, first : last + 1])))
        return found

    def _z(self, code: np.ndarray) -> Tensor:
        return self.middles[torch.from_numpy(code).long()][None]

    @staticmethod
    def _flat(p: Tensor) -> Tensor:
        """(1, levels, H, W) -> (H * W, levels)."""
        return p[0].flatten(1).mT


def _cost(p: Tensor, level: Tensor) -> float:
    """p (B, levels), level (B,) -> nats of all of them together."""
    return -float(p.gather(1, level.long()[:, None]).log().sum())


def _quantised(p: Tensor) -> np.ndarray:
    """float64 (B, levels) -> the same as whole numbers of steps, by their sum: equal where the numbers are equal."""
    steps = (p * _STEPS).floor() + 1.0
    return np.ascontiguousarray((steps / steps.sum(1, keepdim=True)).numpy())


def _bytes(words: np.ndarray) -> bytes:
    return words.astype("<u4").tobytes()


def _words(content: bytes) -> np.ndarray:
    return np.frombuffer(content + b"\0" * (-len(content) % 4), "<u4").astype(np.uint32)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Inside, one thread: sums over several are rounded in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
