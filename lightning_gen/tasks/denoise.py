"""Noise taken off by a model of clean images: the noisy image is encoded, and what is decoded is the answer. Beside it
a 3x3 median filter, and the noisy image as it is, in dB (PSNR), at each strength of noise."""

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lightning_gen.batches import without_image
from lightning_gen.config.arguments import Arguments, above_zero, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import ReconstructionModule
from lightning_gen.files import write_json, write_png
from lightning_gen.images import ImageSpec, grid
from lightning_gen.metrics.pairs import psnr
from lightning_gen.tasks.common.require import require

__all__ = ["NOISES", "main", "median"]


def _gaussian(image: Tensor, spec: ImageSpec, strength: float, generator: torch.Generator) -> Tensor:
    noise = torch.randn(image.shape, generator=generator) * strength * (spec.levels - 1)
    return (image + noise).round().clamp(0, spec.levels - 1).to(torch.uint8)


def _impulse(image: Tensor, spec: ImageSpec, strength: float, generator: torch.Generator) -> Tensor:
    hit = torch.rand(image.shape, generator=generator) < strength
    level = torch.randint(spec.levels, image.shape, generator=generator, dtype=torch.uint8)
    return torch.where(hit, level, image)


#: name -> (image, spec, strength, generator) -> noisy image; the strength of Gaussian noise is its deviation as a part
#: of the range of grey levels, that of impulses the share of pixels that become a random level
NOISES = {"gaussian": _gaussian, "impulse": _impulse}


def median(image: Tensor) -> Tensor:
    """Filter uint8 (B, C, H, W) by the median of 3x3 pixels, edges repeated."""
    from scipy.ndimage import median_filter

    return torch.from_numpy(median_filter(image.numpy(), size=(1, 1, 3, 3), mode="nearest"))


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen denoise RUN [--noise gaussian] [--strength S ...] [--images N] [--seed S] [--out FILE]``."""
    parser = Arguments("denoise", __doc__)
    parser.run()
    parser.add_argument("--noise", choices=list(NOISES), default="gaussian", help="kind (gaussian)")
    parser.add_argument(
        "--strength", type=above_zero, nargs="+", default=[0.1, 0.2, 0.3, 0.5], help="(0.1 0.2 0.3 0.5)"
    )
    parser.add_argument("--images", type=positive, default=2000, help="at most so many test images (2000)")
    parser.seed()
    parser.file("out", ".png", help="PNG to write (RUN/samples/denoise.png)")
    options = parser.parse_args(arguments)

    found, data = load_run(options.run, options.checkpoint)
    module = require(found, ReconstructionModule)
    levels, generator = data.spec.levels, torch.Generator().manual_seed(options.seed)
    batches = list(data.batches("test", 256, 0, options.images))
    clean = torch.cat([batch["image"] for batch in batches])
    rows, picture = [], [clean[:10]]
    for strength in options.strength:
        noisy = NOISES[options.noise](clean, data.spec, strength, generator)
        parts = zip(noisy.split(256), batches, strict=True)
        restored = torch.cat([module.reconstruct(part, without_image(batch)) for part, batch in parts])
        answers = {"noisy": noisy, "median": median(noisy), "model": restored}
        rows.append({"strength": strength, **{name: psnr(a, clean, levels) for name, a in answers.items()}})
        picture += [answer[:10] for answer in answers.values()]
    out = options.out or options.run / "samples" / "denoise.png"
    write_png(out, grid(torch.cat(picture), levels, columns=min(10, len(clean))).numpy())
    write_json(out.with_suffix(".json"), {"noise": options.noise, "images": len(clean), "psnr_db": rows})
    _show(rows, f"{options.run}: {options.noise} noise, {len(clean):,} test images, PSNR in dB")
    print(f"{out}: clean, then noisy, median filter and model at each strength")


def _show(rows: list[dict[str, float]], title: str) -> None:
    table = Table(title=title)
    for column in ("strength", "noisy", "median filter 3x3", "model"):
        table.add_column(column, justify="right")
    for row in rows:
        best = max(row["noisy"], row["median"], row["model"])
        shown = (f"[bold]{row[k]:.2f}" if row[k] == best else f"{row[k]:.2f}" for k in ("noisy", "median", "model"))
        table.add_row(f"{row['strength']:g}", *shown)
    Console().print(table)
