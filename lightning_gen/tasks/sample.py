"""Draw images from a trained run: a grid as PNG; by label, truncated, by seed; ways between noises as strips or GIF."""

import argparse
from pathlib import Path

import torch
from torch import Generator, Tensor

from lightning_gen.batches import Batch, join
from lightning_gen.config.arguments import Arguments, above_zero, any_seed, natural, not_negative, positive
from lightning_gen.config.loading import checkpoint_path, load_module
from lightning_gen.contracts import GenerativeModule, NoiseModule, StochasticLatentModule, StyleModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.collection import BLOCK, sample_block
from lightning_gen.files import atomic_write, check_target, write_png
from lightning_gen.images import as_pictures, grid
from lightning_gen.tasks.common.require import require
from lightning_gen.tasks.common.sentences import check_sentences, write_sentences
from lightning_gen.tasks.common.vectors import (
    check_labels,
    condition_rows,
    draw_vectors,
    generate_function,
    slerp,
    truncated_normal,
)

__all__ = ["main"]


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen sample RUN [--n N] [--seed S | --seeds S ...] [--label L ... | --text T ...]
    [--temperature T | --truncation T] [--drawn-noise] [--interpolate N [--steps N] [--gif]] [--out FILE]``."""
    options = _parser().parse_args(arguments)
    if options.gif and not options.interpolate:
        raise UserError("--gif given: want it with --interpolate")
    if options.out:
        check_target("--out", options.out, ".gif" if options.gif else ".png")
    module = require(load_module(checkpoint_path(options.run, options.checkpoint)), GenerativeModule)
    _check(options, module)
    if options.text:
        print(write_sentences(options, module))
        return
    options.n = options.n or 64
    levels, folder = module.spec.levels, options.run / "samples"
    if not options.interpolate:
        out = options.out or folder / "sample.png"
        write_png(out, grid(as_pictures(_images(module, options).cpu(), module.spec), 256).numpy())
    elif options.gif:
        out = options.out or folder / "interpolation.gif"
        ways = _ways(module, options)
        _write_gif(out, [grid(step, levels, columns=min(8, len(step))).numpy() for step in ways.unbind(1)])
    else:
        out = options.out or folder / "interpolation.png"
        write_png(out, grid(_ways(module, options).flatten(0, 1), levels, columns=options.steps).numpy())
    print(out)


def _parser() -> Arguments:
    parser = Arguments("sample", __doc__)
    parser.run()
    parser.add_argument("--n", type=positive, help="number of images (64); of each sentence (8)")
    parser.seed()
    parser.add_argument("--seeds", type=any_seed, nargs="+", help="one image of each of these seeds, in place of --n")
    parser.add_argument("--label", type=natural, nargs="+", help="classes of the images, in turn (drawn)")
    parser.add_argument("--text", nargs="+", help="sentences: a row of pictures of each, a column for each noise")
    parser.add_argument("--temperature", type=above_zero, default=1.0, help="scale of the noise (1)")
    about = (
        "largest size of a component of the noise, e.g. 1; of styles the share of their distance from the mean, 0 to 1"
    )
    parser.add_argument("--truncation", type=not_negative, help=about)
    parser.add_argument(
        "--drawn-noise", action="store_true", help="draw the noise in the layers for each image (fixed)"
    )
    parser.add_argument("--interpolate", type=positive, help="so many ways between two noises, in place of --n")
    parser.add_argument("--steps", type=positive, default=9, help="images of a way (9)")
    parser.add_argument("--gif", action="store_true", help="the ways as an animation, there and back")
    parser.file("out", ".png", ".gif", help="PNG or GIF to write (RUN/samples/sample.png, interpolation.png or .gif)")
    return parser


def _check(options: argparse.Namespace, module: GenerativeModule) -> None:
    """Raise where the options do not fit each other or the model."""
    name = type(module).__name__
    check_labels(module, options.label or [])
    if options.text:
        check_sentences(options, module)
    _check_noise(options, module, name)
    if options.truncation is not None and options.temperature != 1.0:
        raise UserError(
            f"--temperature {options.temperature:g} and --truncation {options.truncation:g} given: want one"
        )
    if options.interpolate and not isinstance(module, NoiseModule | StochasticLatentModule):
        raise UserError(f"--interpolate {options.interpolate} given: {name} has no vector that its images come from")
    if options.interpolate and options.seeds:
        raise UserError("--interpolate and --seeds given: want one")
    if options.interpolate and options.steps < 2:
        raise UserError(f"--steps is {options.steps}: want 2 or more")


def _check_noise(options: argparse.Namespace, module: GenerativeModule, name: str) -> None:
    """Raise where the model has no noise, or no styles, that the options are about."""
    bound, styles = options.truncation, isinstance(module, StyleModule)
    if options.drawn_noise and (not styles or options.interpolate):
        raise UserError(f"--drawn-noise given: want it of a StyleGAN and without --interpolate, this is {name}")
    if bound is None:
        return
    if not isinstance(module, NoiseModule):
        raise UserError(f"--truncation {bound:g} given: {name} does not generate from a Gaussian noise vector")
    if styles and bound > 1:
        raise UserError(f"--truncation {bound:g} given: {name} truncates its styles, want 0 to 1")
    if not styles and bound == 0:
        raise UserError("--truncation 0 given: want a number above 0, the largest size of a component of the noise")


def _labels(options: argparse.Namespace, start: int, count: int) -> Batch | None:
    """The condition of images `start` to `start` + `count`; None: drawn by the model."""
    if options.label is None:
        return None
    return {"label": torch.tensor([options.label[(start + i) % len(options.label)] for i in range(count)])}


def _images(module: GenerativeModule, options: argparse.Namespace) -> Tensor:
    """uint8 (n, C, H, W)."""
    if options.seeds:
        made = [_one(module, options, i, torch.Generator().manual_seed(s)) for i, s in enumerate(options.seeds)]
        return torch.cat(made)
    starts = range(0, options.n, BLOCK)
    if options.truncation is not None or options.drawn_noise:
        generator = torch.Generator().manual_seed(options.seed)
        return torch.cat([_one(module, options, i, generator) for i in range(options.n)])
    blocks = [
        sample_block(module, b, options.seed, options.temperature, _labels(options, start, BLOCK))
        for b, start in enumerate(starts)
    ]
    return torch.cat(blocks)[: options.n]


def _one(module: GenerativeModule, options: argparse.Namespace, index: int, generator: Generator) -> Tensor:
    """Image `index`, uint8 (1, C, H, W)."""
    condition = _labels(options, index, 1)
    if isinstance(module, StyleModule):
        w = _styles(module, options, 1, condition, generator)
        return module.render(w, generator if options.drawn_noise else None)
    if isinstance(module, NoiseModule) and options.truncation is not None:
        z = truncated_normal(1, module.latent_dim, options.truncation, generator)
        return module.generate(z, condition if condition is not None else module.draw_condition(1, generator))
    return module.sample(1, condition, options.temperature, generator)


def _styles(
    module: StyleModule, options: argparse.Namespace, n: int, condition: Batch | None, generator: Generator
) -> Tensor:
    """Draw n styles, moved towards their mean; the temperature of a model with styles is the same share."""
    condition = condition if condition is not None else module.draw_condition(n, generator)
    w = module.styles(torch.randn(n, module.latent_dim, generator=generator), condition)
    return module.truncate(w, options.temperature if options.truncation is None else options.truncation)


def _ways(module: GenerativeModule, options: argparse.Namespace) -> Tensor:
    """uint8 (ways, steps, C, H, W): each way has one label, drawn or given, and two ends."""
    count, generator = options.interpolate, torch.Generator().manual_seed(options.seed)
    condition = _labels(options, 0, count)
    condition = condition_rows(module, count, condition, generator)
    doubled = None if condition is None else join([condition, condition])
    places = torch.linspace(0.0, 1.0, options.steps)
    if isinstance(module, StyleModule):  # a straight line between styles (Karras et al. 2019, Section 4.1)
        w = _styles(module, options, 2 * count, doubled, generator)
        return torch.stack([module.render(w[:count].lerp(w[count:], float(s))) for s in places], 1)
    bound, generate = options.truncation or float("inf"), generate_function(module)
    ends = draw_vectors(module, 2 * count, doubled, generator, options.temperature, bound)
    line = torch.stack([slerp(ends[:count], ends[count:], float(s)) for s in places], 1)
    images = [generate(step, condition) for step in line.unbind(1)]
    return torch.stack(images, 1)


def _write_gif(path: Path, frames: list) -> None:
    """An endless animation, there and back, 12 frames a second."""
    from PIL import Image

    first, *rest = [Image.fromarray(frame) for frame in [*frames, *frames[-2:0:-1]]]
    with atomic_write(path) as stream:
        first.save(stream, format="GIF", save_all=True, append_images=rest, duration=83, loop=0)
