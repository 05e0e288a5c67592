"""Images and what a model restores of them, side by side, and how far apart they are."""

import torch

from lightning_gen.batches import without_image
from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import ReconstructionModule
from lightning_gen.files import write_png
from lightning_gen.images import grid
from lightning_gen.metrics.pairs import psnr
from lightning_gen.tasks.common.require import require

__all__ = ["beside", "main"]


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen reconstruct RUN [--n N] [--split test] [--out FILE]``."""
    parser = Arguments("reconstruct", __doc__)
    parser.run()
    parser.add_argument("--n", type=positive, default=32, help="images in the picture (32)")
    parser.split()
    parser.file("out", ".png", help="PNG to write (RUN/samples/reconstruct.png)")
    options = parser.parse_args(arguments)

    found, data = load_run(options.run, options.checkpoint)
    module = require(found, ReconstructionModule)
    real, restored = [], []
    for batch in data.batches(options.split, 256):
        real.append(batch["image"])
        restored.append(module.reconstruct(batch["image"], without_image(batch)))
    a, b = torch.cat(real), torch.cat(restored)
    out = options.out or options.run / "samples" / "reconstruct.png"
    write_png(out, grid(beside(a[: options.n], b[: options.n], columns=8), data.spec.levels).numpy())
    print(f"{out}: {psnr(b, a, data.spec.levels):.2f} dB over {len(a):,} {options.split} images")


def beside(*rows: torch.Tensor, columns: int) -> torch.Tensor:
    """Put side by side sets of images (N, C, H, W), in stripes of `columns`: a stripe of the first, of the second ...,
    then the next."""
    stripes = zip(*(row.split(columns) for row in rows), strict=True)
    whole = [stripe for group in stripes for stripe in group if len(stripe) == columns or len(rows[0]) < columns]
    return torch.cat(whole)
