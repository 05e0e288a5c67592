"""Draw images from a trained run: a grid as PNG."""

from pathlib import Path

import torch

from lightning_gen.arguments import Arguments, fraction, positive
from lightning_gen.base import GenerativeModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation import sample_blocks
from lightning_gen.files import write_png
from lightning_gen.images import grid
from lightning_gen.loading import checkpoint_path, load_module

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """``lightning-gen sample RUN [--n N] [--seed S] [--temperature T] [--out FILE]``."""
    parser = Arguments("sample", __doc__)
    parser.run()
    parser.add_argument("--n", type=positive, default=64, help="number of images (64)")
    parser.seed()
    parser.add_argument("--temperature", type=fraction, default=1.0, help="scale of the noise (1)")
    parser.add_argument("--out", type=Path, help="PNG to write (RUN/samples/sample.png)")
    options = parser.parse_args(arguments)

    module = load_module(checkpoint_path(options.run, options.checkpoint))
    if not isinstance(module, GenerativeModule):
        raise UserError(f"{type(module).__name__} cannot sample: want a generative model")
    images = torch.cat(list(sample_blocks(module, options.n, options.seed, options.temperature)))
    out = options.out or options.run / "samples" / "sample.png"
    write_png(out, grid(images, module.spec.levels).numpy())
    print(out)
