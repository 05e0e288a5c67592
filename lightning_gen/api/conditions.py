"""Conditions as people give them in Python: a class, classes in turn, sentences, or rows of a batch."""

from collections.abc import Sequence

import torch

from lightning_gen.api.images import Images
from lightning_gen.batches import Batch, join, select_rows, size
from lightning_gen.contracts import GenerativeModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.collection import BLOCK
from lightning_gen.tasks.common.sentences import say_unknown, sentence_pictures

__all__ = ["labels", "of_sentences", "padded"]


def labels(module: GenerativeModule, label: int | Sequence[int], n: int) -> Batch:
    """The condition of n images by classes in turn; raises `UserError` where the model knows no such class."""
    given = [label] if isinstance(label, int) else list(label)
    if "label" not in module.condition_keys:
        raise UserError(f"label is {label}: this {type(module).__name__} is not conditioned on labels")
    if not given or not all(0 <= each < module.spec.classes for each in given):
        raise UserError(f"label is {label}: want 0 to {module.spec.classes - 1}")
    return {"label": torch.tensor([given[i % len(given)] for i in range(n)])}


def padded(condition: Batch) -> Batch:
    """A condition of `BLOCK` rows: blocks are drawn whole, so that the number of images changes no pixel."""
    while (rows := size(condition)) < BLOCK:
        condition = join([condition, select_rows(condition, 0, BLOCK - rows)])
    return condition


def of_sentences(module: GenerativeModule, text: str | Sequence[str], n: int, seed: int, temperature: float) -> Images:
    """Draw n images of each sentence, a row of the grid each, a noise a column; name unknown words on standard error.

    Raises:
        UserError: there are no sentences, or the model is not conditioned on captions.
    """
    texts = [text] if isinstance(text, str) else text
    if not isinstance(texts, Sequence) or not all(isinstance(each, str) for each in texts):
        raise UserError(f"text is {text!r}: want a sentence, or a list of them")
    if "text" not in module.condition_keys or not texts:
        name = type(module).__name__
        raise UserError("text is empty: want a sentence" if not texts else f"text given: {name} reads no captions")
    say_unknown(module, texts)
    return Images(sentence_pictures(module, texts, n, seed, temperature), module.spec.levels, columns=n)
