"""Pictures of sentences: a row for each sentence, a column for each noise; or ways between two sentences."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightning_gen.batches import Batch
from lightning_gen.captioned import with_captions
from lightning_gen.contracts import GenerativeModule, NoiseModule, TextModule
from lightning_gen.errors import UserError
from lightning_gen.files import write_png
from lightning_gen.images import as_pictures, grid
from lightning_gen.tasks.common.vectors import truncated_normal

__all__ = ["check_sentences", "say_unknown", "sentence_pictures", "write_sentences"]

#: pictures of a sentence; characters of a sentence that are read
_PICTURES, _LONGEST = 8, 100_000


def check_sentences(options: argparse.Namespace, module: GenerativeModule) -> None:
    """Raise where the options of ``sample --text`` do not fit each other or the model."""
    name = type(module).__name__
    if "text" not in module.condition_keys:
        raise UserError(f"--text given: this {name} is not conditioned on captions")
    if not isinstance(module, TextModule) and (options.truncation is not None or options.interpolate):
        raise UserError(f"--text with --truncation or --interpolate given: {name} has no code of a sentence")
    for other in ("label", "seeds", "gif"):
        if getattr(options, other):
            raise UserError(f"--text and --{other} given: want one")
    if options.interpolate and len(options.text) != 2:
        raise UserError(f"--interpolate with {len(options.text)} sentences given: want two")
    if longest := next((text for text in options.text if len(text) > _LONGEST), None):
        raise UserError(f"--text has a sentence of {len(longest)} characters: want {_LONGEST} at most")


def write_sentences(options: argparse.Namespace, module: GenerativeModule) -> Path:
    """Write what ``sample --text`` is asked for, and say on standard error which words are not known."""
    say_unknown(module, options.text)
    texts = list(options.text)
    if options.interpolate:
        assert isinstance(module, TextModule)
        pictures, columns = _ways(module, texts, options), options.steps
        texts = [" to ".join(texts)] * options.interpolate
    else:
        columns = options.n or _PICTURES
        bound = options.truncation or float("inf")
        pictures = sentence_pictures(module, texts, columns, options.seed, options.temperature, bound)
    shown = grid(as_pictures(pictures.cpu(), module.spec), 256, columns=columns)
    out = options.out or options.run / "samples" / ("sentence_ways.png" if options.interpolate else "sentences.png")
    write_png(out, with_captions(shown, texts).numpy())
    return out


def say_unknown(module: GenerativeModule, texts: Sequence[str]) -> None:
    """Say on standard error which words of each text change nothing in the pictures of `module`."""
    for text in texts if isinstance(module, TextModule) else ():
        assert isinstance(module, TextModule)
        if not (unknown := module.unknown_words(text)):
            continue
        listed = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
        shown = listed.encode("utf-8", "backslashreplace").decode()
        print(f"lightning-gen: words that change nothing here, unknown or beyond the end: {shown}", file=sys.stderr)


def sentence_pictures(
    module: GenerativeModule,
    texts: Sequence[str],
    columns: int,
    seed: int = 0,
    temperature: float = 1.0,
    bound: float = float("inf"),
) -> Tensor:
    """Draw uint8 (sentences * columns, C, H, W), sentence by sentence, from the same `columns` noises where the model
    has noises, each within `bound`."""
    generator = torch.Generator().manual_seed(seed)
    condition: Batch = {"text": [text for text in texts for _ in range(columns)]}
    if not isinstance(module, NoiseModule):
        return module.sample(len(condition["text"]), condition, temperature, generator)
    z = temperature * truncated_normal(columns, module.latent_dim, bound, generator)
    return module.generate(z.repeat(len(texts), 1).to(module.device), condition)


def _ways(module: TextModule, texts: Sequence[str], options: argparse.Namespace) -> Tensor:
    """Draw uint8 (ways * steps, C, H, W): each way has one noise, and goes from the code of one sentence to that of the
    other on a straight line."""
    assert isinstance(module, NoiseModule)
    generator = torch.Generator().manual_seed(options.seed)
    bound = options.truncation or float("inf")
    noise = options.temperature * truncated_normal(options.interpolate, module.latent_dim, bound, generator)
    share = torch.linspace(0.0, 1.0, options.steps)[:, None]
    first, last = module.text_code(texts).cpu().unbind(0)
    code = ((1 - share) * first + share * last).repeat(options.interpolate, 1)
    z = noise.repeat_interleave(options.steps, 0)
    device = module.text_code(["x"]).device
    return module.generate_from_code(z.to(device), code.to(device))
