"""What every text encoder shares: captions are read once, words have numbers, a checkpoint knows its vocabulary."""

import json
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch, send
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.condition import Condition, Conditioning

__all__ = ["TextEncoder", "VocabularyEncoder", "learn_captions", "tokens"]

#: captions of the training set that are kept to draw from
_POOL = 1000
#: captions whose words are remembered as numbers
_REMEMBERED = 200_000


def tokens(text: str) -> list[str]:
    """Split a caption into lower-case words and numbers, in any alphabet."""
    return re.findall(r"\w+", text.lower())


class TextEncoder(Condition):
    """Captions -> vectors. Each caption is read once, by `read`; what is read travels in the batch as ``words``.

    Training captions are kept beside the weights, so that `draw` gives real ones wherever the checkpoint is.

    Args:
        spec: of the images; with captions.

    Raises:
        UserError: the images have no captions.
    """

    keys = ("text",)
    _kept: Tensor | None

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec)
        if not spec.text:
            raise UserError(f"data has no captions: condition {type(self).__name__} wants a set with captions")
        self.captions: list[str] = []
        self._known: dict[str, Tensor] = {}
        self.register_buffer("_kept", None, persistent=False)

    @abstractmethod
    def read(self, text: str) -> Tensor:
        """Read a caption on the CPU: a row of numbers, of the same length for every caption."""

    @abstractmethod
    def encode(self, words: Tensor) -> Tensor:
        """Rows that `read` gave, (B, L) -> float (B, features); all of it on the device."""

    def unknown(self, text: str) -> list[str]:
        """List the words of a caption that change nothing: those that no training caption had, or beyond its end."""
        return []

    def prepare(self, batch: Batch) -> Batch:
        if "words" in batch or "text" not in batch:
            return batch
        rows = torch.stack([self._row(text) for text in batch["text"]])
        image = batch.get("image")
        return {**batch, "words": rows if image is None else send(rows, image.device)}

    def _row(self, text: str) -> Tensor:
        row = self._known.get(text)
        if row is None:
            row = self.read(text)
            if len(self._known) < _REMEMBERED:
                self._known[text] = row
        return row

    def forward(self, batch: Batch | None) -> Conditioning:
        if batch is None or not ("text" in batch or "words" in batch):
            raise UserError("condition lacks text: want one caption per image")
        words = self.prepare(batch)["words"]
        return Conditioning(self.encode(words.to(self.place.device)))

    @property
    def place(self) -> Tensor:
        """Any tensor of the module, which tells its device."""
        return next(t for t in (*self.parameters(), *self.buffers()))

    def learn(self, batches: Iterable[Batch]) -> None:
        self.captions = list(islice((text for batch in batches for text in batch["text"]), _POOL))
        self._kept = None

    def kept(self, most: int) -> Tensor:
        """Return the first `most` of the captions that are kept, as read, (P, L) on the device; none before `learn`."""
        if self._kept is None:  # a buffer from then on, so that captured steps find it on the device
            rows = torch.stack([self._row(text) for text in self.captions or [""]])
            self._kept = rows[: len(self.captions)].to(self.place.device)
        return self._kept[:most]

    def draw(self, n: int, generator: Generator | None = None) -> Batch:
        if not self.captions:
            raise UserError("condition has no captions to draw from: want texts, or a trained checkpoint")
        device = generator.device if generator is not None else "cpu"
        chosen = torch.randint(len(self.captions), (n,), generator=generator, device=device)
        return {"text": [self.captions[i] for i in chosen.tolist()]}

    def texts(self) -> dict[str, list[str]]:
        """Return all texts that the checkpoint must keep, by name."""
        return {"captions": self.captions}

    def take_texts(self, texts: dict[str, list[str]]) -> None:
        """Restore what `texts` returned."""
        self.captions = texts["captions"]
        self._known.clear()
        self._kept = None

    def get_extra_state(self) -> Tensor:
        # Text as bytes in a tensor: an EMA, an export and a checkpoint of plain values all keep it.
        return torch.frombuffer(bytearray(json.dumps(self.texts()).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        try:
            texts = json.loads(bytes(state.tolist()).decode())
            lists = [*texts.values()]
            sound = all(isinstance(part, list) and all(isinstance(text, str) for text in part) for part in lists)
        except (ValueError, AttributeError, RecursionError):
            sound = False
        if not sound or texts.keys() != self.texts().keys():
            raise UserError("checkpoint has captions that cannot be read: want what this version wrote")
        self.take_texts(texts)


def learn_captions(network: nn.Module, captions: Callable[[], Iterable[str]]) -> None:
    """Let every text encoder within `network` learn the training captions, which are read where there is one.

    Args:
        network: a model, or a part of one.
        captions: gives those of the training images.
    """
    encoders = [part for part in network.modules() if isinstance(part, TextEncoder)]
    texts = list(captions()) if encoders else []
    for encoder in encoders:
        encoder.learn([{"text": texts}])


class VocabularyEncoder(TextEncoder):
    """A text encoder that knows the most frequent words of the training captions, and no others.

    Args:
        spec: of the images; with captions.
        words: that it knows at most, 1 or more.
        length: words of a caption that are read, 1 or more.
    """

    def __init__(self, spec: ImageSpec, words: int, length: int) -> None:
        super().__init__(spec)
        check_counts("condition", limit=1 << 20, words=words, length=length)
        self.words, self.length = words, length
        self.vocabulary: list[str] = []
        self._number: dict[str, int] = {}

    def read(self, text: str) -> Tensor:
        """int64 (length,): the number of each known word, from 1; 0 behind the last one."""
        numbers = [self._number[word] for word in tokens(text) if word in self._number][: self.length]
        return torch.tensor(numbers + [0] * (self.length - len(numbers)))

    def unknown(self, text: str) -> list[str]:
        words = tokens(text)
        strange = [word for word in words if word not in self._number]
        known = [word for word in words if word in self._number]
        return list(dict.fromkeys([*strange, *known[self.length :]]))

    def learn(self, batches: Iterable[Batch]) -> None:
        texts = [text for batch in batches for text in batch["text"]]
        super().learn([{"text": texts}])
        counts = Counter(word for text in texts for word in set(tokens(text)))
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        self.take_texts({"captions": self.captions, "vocabulary": ordered[: self.words]})
        self.weigh(torch.tensor([counts[word] for word in self.vocabulary]), len(texts))

    def weigh(self, counts: Tensor, captions: int) -> None:
        """Learn from how many of the training captions have each word, int64 (V,)."""

    def texts(self) -> dict[str, list[str]]:
        return {**super().texts(), "vocabulary": self.vocabulary}

    def take_texts(self, texts: dict[str, list[str]]) -> None:
        super().take_texts(texts)
        self.vocabulary = texts["vocabulary"][: self.words]
        self._number = {word: i for i, word in enumerate(self.vocabulary, start=1)}
