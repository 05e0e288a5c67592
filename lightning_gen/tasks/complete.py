"""Fill in the missing part of held-out images: original, occluded, several completions, side by side as PNG.

Missing parts: `bottom`, `top`, `left`, `right` half; the middle of each side's half (`centre`); a `random` half of the
pixels. It is said whether the completions are exact draws of the model given what is known, or approximate.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lightning_gen.batches import Batch, repeat_rows, without_image
from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import checkpoint_path, load_fitting, load_module
from lightning_gen.contracts import CompletionModule
from lightning_gen.files import write_png
from lightning_gen.images import ImageSpec, grid
from lightning_gen.tasks.common.require import require

__all__ = ["MASKS", "main"]


def _half(known: Callable[[Tensor, Tensor], Tensor]) -> Callable[[ImageSpec, torch.Generator], Tensor]:
    """A mask that depends on the place alone: the row and the column, 0 to 1 from one end to the other."""

    def make(spec: ImageSpec, generator: torch.Generator) -> Tensor:
        row = (torch.arange(spec.height) / spec.height)[:, None].expand(spec.height, spec.width)
        column = (torch.arange(spec.width) / spec.width).expand(spec.height, spec.width)
        return known(row, column)

    return make


#: missing part -> (spec, generator) -> bool (H, W), True where the pixel is known
MASKS: dict[str, Callable[[ImageSpec, torch.Generator], Tensor]] = {
    "bottom": _half(lambda row, column: row < 0.5),
    "top": _half(lambda row, column: row >= 0.5),
    "left": _half(lambda row, column: column >= 0.5),
    "right": _half(lambda row, column: column < 0.5),
    "centre": _half(lambda row, column: (row < 0.25) | (row >= 0.75) | (column < 0.25) | (column >= 0.75)),
    "random": lambda spec, generator: torch.rand(spec.height, spec.width, generator=generator) < 0.5,
}


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen complete RUN [--missing bottom] [--n N] [--draws K] [--seed S] [--out FILE]``."""
    parser = Arguments("complete", __doc__)
    parser.run()
    parser.add_argument("--missing", choices=list(MASKS), default="bottom", help="part to fill in (bottom)")
    parser.add_argument("--n", type=positive, default=8, help="images, one per row (8)")
    parser.add_argument("--draws", type=positive, default=6, help="completions of each (6)")
    parser.add_argument("--data", type=Path, metavar="CONFIG", help="YAML of another data set (the run's own)")
    parser.split()
    parser.seed()
    parser.file("out", ".png", help="PNG to write (RUN/samples/complete_MISSING.png)")
    options = parser.parse_args(arguments)

    module = load_module(checkpoint_path(options.run, options.checkpoint))
    model, levels = require(module, CompletionModule), module.spec.levels
    data = load_fitting(options.run, module, options.data)
    generator = torch.Generator().manual_seed(options.seed)
    batch = next(data.batches(options.split, options.n, 0, options.n))
    image = batch["image"]
    known = MASKS[options.missing](module.spec, generator).expand(len(image), 1, -1, -1)
    done = _completed(model, batch, known, options.draws, generator)
    rows = torch.cat([image[:, None], _occluded(image, known, levels)[:, None], done], 1)
    kind = "exact" if model.completes_exactly(known) else "approximate"
    name = f"complete_{options.missing}" + ("" if kind == "exact" else "_approximate")
    out = options.out or options.run / "samples" / f"{name}.png"
    write_png(out, grid(rows.flatten(0, 1), levels, columns=rows.shape[1]).numpy())
    print(
        f"{out}: {len(image)} images, original, without its {options.missing} part, {options.draws} completions, {kind}"
    )


def _occluded(image: Tensor, known: Tensor, levels: int) -> Tensor:
    """Missing pixels in a middle grey."""
    return torch.where(known, image, (levels - 1) // 2).to(torch.uint8)


def _completed(model: CompletionModule, batch: Batch, known: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """Several completions of each image of `batch`, (n, draws, C, H, W)."""
    repeated = repeat_rows(batch, draws)
    masks = known.repeat_interleave(draws, 0)
    done = model.complete(repeated["image"], masks, without_image(repeated), generator)
    return done.unflatten(0, (len(known), draws))
