"""Directions in the space of vectors that images come from: strips along those that a network's first layer finds
(SeFa, Shen and Zhou 2021), or along those that change a class or an attribute most (as InterFaceGAN, Shen et al. 2020).
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from lightning_gen.batches import Batch, repeat_rows, select_rows
from lightning_gen.config.arguments import Arguments, above_zero, natural, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import GenerativeModule, ImageData
from lightning_gen.errors import UserError
from lightning_gen.evaluation.collection import BLOCK
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.files import write_json
from lightning_gen.images import ImageSpec, grid, to_signed
from lightning_gen.metrics.modes import spread
from lightning_gen.tasks.common.panels import write_panels
from lightning_gen.tasks.common.require import require
from lightning_gen.tasks.common.vectors import Generate, check_labels, condition_rows, draw_vectors, generate_function

__all__ = ["Direction", "discovered", "entrance", "fitted", "main"]

#: uint8 (N, C, H, W) -> (N,), what a direction is to change
Target = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Direction:
    """A direction and what it does.

    Args:
        name: of the class or attribute, else its number.
        vector: (Z,), of length 1.
        share: of a discovered one, of the squared sizes of the first layer's weights; of a named one, of the target's
            variance that follows the vectors linearly, on vectors it was not fitted to (below 0: nothing does).
        change: mean distance of the images at both ends of a strip, by that of two images of the model.
        ends: mean of the target at both ends, of a named one.
    """

    name: str
    vector: list[float]
    share: float
    change: float
    ends: tuple[float, float] | None


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen directions RUN [--count N | --targets NAME ...] [--label L] [--reach R] [--steps N] [--rows N]
    [--draws N] [--seed S] [--out FILE]``."""
    options = _parser().parse_args(arguments)
    loaded, data = load_run(options.run, options.checkpoint)
    module = require(loaded, GenerativeModule)
    generate = generate_function(module)
    _check(options, module)
    targets = {name: _target(name, module, data) for name in options.targets}
    out = options.out or options.run / "samples" / "directions.png"

    generator = torch.Generator().manual_seed(options.seed)
    given: Batch | None = None if options.label is None else {"label": torch.full((options.draws,), options.label)}
    rows = condition_rows(module, options.draws, given, generator)
    drawn = _Drawn(draw_vectors(module, options.draws, rows, generator), rows, generate)
    found: list[tuple[str, Tensor, float]]
    if targets:
        image = drawn.images()
        found = [(name, *fitted(drawn.z, target(image))) for name, target in targets.items()]
    else:
        vectors, shares = discovered(entrance(module, generate, drawn.z.shape[1], drawn.first(1).rows), options.count)
        found = [(str(i + 1), vector, float(shares[i])) for i, vector in enumerate(vectors)]
    some, few = drawn.first(256), drawn.first(options.rows)
    seen = [_followed(name, vector, share, some, targets.get(name), options.reach) for name, vector, share in found]
    ways = torch.linspace(-options.reach, options.reach, options.steps).tolist()
    strips = [torch.stack([few.images(way * v) for way in ways], 1).flatten(0, 1) for _, v, _ in found]
    pictures = [grid(strip, data.spec.levels, columns=options.steps).numpy() for strip in strips]
    write_panels(out, [(_title(direction), picture) for direction, picture in zip(seen, pictures, strict=True)])
    about = {"reach": options.reach, "draws": options.draws, "seed": options.seed, "label": options.label}
    write_json(out.with_suffix(".json"), about | {"directions": [asdict(direction) for direction in seen]})
    _print(seen, options)
    print(out)
    print(out.with_suffix(".json"))


def _parser() -> Arguments:
    parser = Arguments("directions", __doc__)
    parser.run()
    parser.add_argument("--count", type=positive, default=6, help="directions that the first layer finds (6)")
    parser.add_argument("--targets", nargs="+", default=[], help="classes or attributes by name, in place of --count")
    parser.add_argument("--label", type=natural, help="class of all images, of a model with a condition (drawn)")
    parser.add_argument("--reach", type=above_zero, default=3.0, help="way to both sides, standard deviations (3)")
    parser.add_argument("--steps", type=positive, default=9, help="images of a strip (9)")
    parser.add_argument("--rows", type=positive, default=3, help="strips of each direction (3)")
    parser.add_argument("--draws", type=positive, default=2048, help="vectors that directions are fitted to (2048)")
    parser.seed()
    parser.file("out", ".png", help="PNG to write, and JSON beside it (RUN/samples/directions.png)")
    return parser


def _check(options: argparse.Namespace, module: GenerativeModule) -> None:
    check_labels(module, [] if options.label is None else [options.label])
    if options.steps < 2:
        raise UserError(f"--steps is {options.steps}: want 2 or more")
    if options.draws < max(16, options.rows):
        raise UserError(f"--draws is {options.draws}: want 16 or more, and no fewer than --rows, {options.rows}")


class _Drawn(NamedTuple):
    """Vectors (N, Z), N rows of the condition or None, and the function that generates images of them."""

    z: Tensor
    rows: Batch | None
    generate: Generate

    def first(self, count: int) -> "_Drawn":
        return self.part(0, count)

    def part(self, begin: int, end: int) -> "_Drawn":
        rows = None if self.rows is None else select_rows(self.rows, begin, end)
        return _Drawn(self.z[begin:end], rows, self.generate)

    def images(self, move: Tensor | float = 0.0) -> Tensor:
        """Generate images of the vectors, all moved by `move` (Z,), block by block."""
        parts = [self.part(i, i + BLOCK) for i in range(0, len(self.z), BLOCK)]
        return torch.cat([self.generate(part.z + move, part.rows) for part in parts])


def entrance(module: nn.Module, generate: Generate, dims: int, row: Batch | None = None) -> Tensor:
    """Find the first layer with weights that a vector meets, as a matrix (F, Z): its outputs for the unit vectors, less
    that for none.

    Args:
        module: that holds the layers.
        generate: what runs them.
        dims: Z.
        row: one row of the condition, of a model with one.

    Raises:
        UserError: no linear layer or convolution sees the vector.
    """
    seen: list[Tensor] = []
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    hooks = [
        layer.register_forward_hook(lambda _, __, output: seen.append(output.flatten(1)))
        for layer in module.modules()
        if isinstance(layer, kinds)
    ]
    try:
        rows = None if row is None else repeat_rows(row, dims + 1)
        generate(torch.cat([torch.zeros(1, dims), torch.eye(dims)]), rows)
    finally:
        for hook in hooks:
            hook.remove()
    for output in seen:
        weight = (output[1:] - output[:1]).T
        if weight.any():  # layers that see the condition alone give all rows the same
            return weight
    raise UserError(f"{type(module).__name__} has no linear layer that sees its vector: want --targets")


def discovered(weight: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find the directions that the map `weight` (F, Z) stretches most: eigenvectors of its A^T A (Shen and Zhou 2021,
    Eq. 6), at most `count`, each (Z,) of length 1 with its largest component above 0; and the share of each
    eigenvalue."""
    values, vectors = torch.linalg.eigh((weight.T @ weight).double())
    chosen = vectors.T.flip(0)[:count]
    largest = chosen.gather(1, chosen.abs().argmax(1, keepdim=True))
    return (chosen * largest.sign()).float(), (values / values.sum()).flip(0)[:count]


def fitted(z: Tensor, value: Tensor) -> tuple[Tensor, float]:
    """Fit the direction (Z,) along which `value` (N,) of vectors (N, Z) grows most, by least squares: of Gaussian
    vectors this is the normal of the boundary that a logistic regression draws, up to its length (Brillinger 1982).
    Every second vector is held back; the share of their variance that is explained is returned beside it."""
    design = torch.cat([z, torch.ones(len(z), 1)], 1).double()
    value = value.double()
    weight = torch.linalg.lstsq(design[::2], value[::2, None]).solution[:, 0]
    held = value[1::2]
    lost = (held - design[1::2] @ weight).square().mean() / held.var(unbiased=False).clamp(min=1e-12)
    return (weight[:-1] / weight[:-1].norm().clamp(min=1e-12)).float(), float(1 - lost)


def _target(name: str, module: GenerativeModule, data: ImageData) -> Target:
    """What reads the class or attribute `name` off images."""
    classes = data.class_names or tuple(map(str, range(data.spec.classes)))
    attributes = data.attribute_names
    if name in classes:
        if "label" in module.condition_keys:
            what = f"{type(module).__name__} is conditioned on the label"
            raise UserError(f"--targets {name} given: {what}, want an attribute")
        return _class_reader(classes.index(name), data)
    if name in attributes:
        return _attribute_reader(attributes.index(name), data)
    known = ", ".join((*classes, *attributes)) or "none, the data has no classes or attributes"
    raise UserError(f"--targets {name} given: want one of {known}")


def _class_reader(index: int, data: ImageData) -> Target:
    """Probability of a class, by the classifier of the distances."""
    classifier = Evaluation().classifier(data)
    assert classifier is not None  # every set with classes has one
    return lambda image: classifier.logits(classifier(image)).softmax(1)[:, index]


def _attribute_reader(index: int, data: ImageData) -> Target:
    """A column of the attributes, by least squares from features and pixels of training images."""
    extractor, spec = Evaluation().extractor_of(data), data.spec

    def seen(image: Tensor) -> Tensor:
        parts = [extractor(block) for block in image.split(BLOCK)]
        return torch.cat([torch.cat(parts), _small(image, spec), torch.ones(len(image), 1)], 1).double()

    batch = next(data.batches("train", 4096, 0, 4096))
    design, value = seen(batch["image"]), batch["attributes"][:, index].double()
    penalty = 1e-2 * len(design) * torch.eye(design.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(design.T @ design + penalty, design.T @ value)
    return lambda image: (seen(image) @ weight).float()


def _small(image: Tensor, spec: ImageSpec) -> Tensor:
    """Signed pixels (N, D), of large pictures in 16 rows and columns at most: where things are, which features pooled
    over the picture do not tell."""
    size = (min(spec.height, 16), min(spec.width, 16))
    return nn.functional.adaptive_avg_pool2d(to_signed(image, spec.levels), size).flatten(1)


def _followed(name: str, vector: Tensor, share: float, drawn: _Drawn, target: Target | None, reach: float) -> Direction:
    """What going along `vector` does to the images."""
    low, high = drawn.images(-reach * vector), drawn.images(reach * vector)
    start, a, b = (image.flatten(1).double() for image in (drawn.images(), low, high))
    change = float((b - a).norm(dim=1).mean() / spread(start).clamp(min=1e-12))
    ends = None if target is None else (float(target(low).mean()), float(target(high).mean()))
    return Direction(name, vector.tolist(), share, change, ends)


def _title(direction: Direction) -> str:
    if direction.ends is None:
        return f"{direction.name}: {direction.share:.0%} of the first layer"
    return f"{direction.name}: {direction.ends[0]:.2f} to {direction.ends[1]:.2f}"


def _print(seen: list[Direction], options: argparse.Namespace) -> None:
    table = Table(title=f"{options.run}: {options.reach:g} standard deviations to both sides")
    named = any(direction.ends for direction in seen)
    for column in ("direction", "explained" if named else "share of the layer", "change", *(["ends"] if named else [])):
        table.add_column(column, justify="left" if column == "direction" else "right")
    for direction in seen:
        ends = [] if direction.ends is None else ["{:.3f}, {:.3f}".format(*direction.ends)]
        table.add_row(direction.name, f"{direction.share:.3f}", f"{direction.change:.3f}", *ends)
    Console().print(table)
