"""Axes of attributes in the codes of a generator, by readers trained on the data's own attributes; with locks, and with
what they change besides. The page of `lightning-gen faces` has a slider for each."""

from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lightning_gen.batches import join
from lightning_gen.config.arguments import Arguments, natural, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import ImageData
from lightning_gen.errors import UserError
from lightning_gen.evaluation.readers import attribute_reader, errors_of
from lightning_gen.images import as_pictures, grid
from lightning_gen.tasks.common.axes import Axes, axes_hash, fit_axes, save_axes
from lightning_gen.tasks.common.axis_facts import correlations, leakage, ranges, strip
from lightning_gen.tasks.common.code_space import CodeSpace
from lightning_gen.tasks.common.panels import write_panels
from lightning_gen.tasks.directions import discovered

__all__ = ["main"]

#: what is measured and never steered
_MEASURED_ONLY = ("ethnicity", "race", "pale_skin")
#: codes at least: an axis is fitted to half of them, and judged by the others
_FEWEST = 16


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen axes RUN [--attributes NAME ...] [--examples NAME SEEDS SEEDS] [--draws N] [--pictures N]
    [--label L] [--unnamed N] [--seed S]``."""
    options = _parser().parse_args(arguments)
    if options.draws < _FEWEST:
        raise UserError(f"--draws is {options.draws}: want {_FEWEST} or more")
    module, data = load_run(options.run, options.checkpoint)
    space, controls = CodeSpace(module, options.label), _controls(data, options.attributes)
    examples = [(name, _seeds(without), _seeds(having)) for name, without, having in options.examples or []]
    reader = attribute_reader(data)  # may learn for minutes
    codes = space.draw(options.draws, options.seed)
    scores = torch.cat([reader.scores(space.images(part)) for part in codes.split(256)])
    fitted, explained = fit_axes(codes, scores)
    unnamed, words = _unnamed(space, fitted, codes, options.unnamed, examples)
    about: dict[str, Any] = {
        "hash": axes_hash(space, reader),
        "names": list(data.attribute_names),
        "controls": controls,
        "space": space.name,
        "label": options.label,
        "explained": explained.tolist(),
        "unnamed": words,
        "data": {"name": data.name, "fingerprint": data.fingerprint, "images": data.size("train")},
        "reader": errors_of(reader, data),
        "draws": options.draws,
        "seed": options.seed,
    }
    axes = Axes(fitted.mean, fitted.covariance, fitted.weights, fitted.scale, unnamed, about)
    some = space.draw(options.pictures, options.seed + 1)
    values = join(list(data.batches("train", 512, 0, 8192)))["attributes"]
    about["labels"], about["ranges"] = correlations(values), ranges(axes, values)
    about["leakage"] = leakage(space, reader, axes, some)
    path = save_axes(options.run / "axes", axes)
    strips = path.with_suffix(".png")
    write_panels(strips, [(name, _strip(space, axes, some[:6], name, data)) for name in controls])
    _print(axes)
    print(path)
    print(strips)


def _parser() -> Arguments:
    parser = Arguments("axes", __doc__)
    parser.run()
    parser.add_argument("--attributes", nargs="+", help="what is steered (all but those of ethnicity)")
    parser.add_argument("--label", type=natural, help="class of all images, of a model that is conditioned on classes")
    about = "a direction from pictures of some seeds to those of others: --examples glasses 3,8,11 1,2,4"
    parser.add_argument("--examples", nargs=3, action="append", metavar=("NAME", "WITHOUT", "WITH"), help=about)
    parser.add_argument("--draws", type=positive, default=4096, help="codes that axes are fitted to (4096)")
    parser.add_argument("--pictures", type=positive, default=32, help="pictures that leakage is measured on (32)")
    parser.add_argument("--unnamed", type=positive, default=4, help="directions without labels, of each kind (4)")
    parser.seed()
    return parser


def _controls(data: ImageData, wanted: list[str] | None) -> list[str]:
    """The attributes that are steered; one that describes ethnicity is only measured."""
    names = data.attribute_names
    for name in wanted or []:
        if name not in names:
            raise UserError(f"--attributes {name} given: want some of {', '.join(names) or 'none, the data has none'}")
        if name.lower().startswith(_MEASURED_ONLY):
            raise UserError(f"--attributes {name} given: it is measured and not steered, want another")
    return wanted or [name for name in names if not name.lower().startswith(_MEASURED_ONLY)]


def _unnamed(
    space: CodeSpace, axes: Axes, codes: Tensor, count: int, examples: list[tuple[str, list[int], list[int]]]
) -> tuple[Tensor, list[str]]:
    """Directions of the first weights, of the codes' own variance, and between examples, and what to call them."""
    values, vectors = torch.linalg.eigh(axes.covariance.double())
    principal = vectors.T.flip(0)[:count].float() * values.flip(0)[:count].clamp(min=0).sqrt()[:, None].float()
    first = _first_weights(space, axes, count)
    rows = [first, principal]
    words = [*(f"weights {i + 1}" for i in range(len(first))), *(f"variance {i + 1}" for i in range(len(principal)))]
    for name, without, having in examples:
        ends = [torch.cat([space.draw(1, seed) for seed in seeds]).mean(0) for seeds in (without, having)]
        rows.append((ends[1] - ends[0])[None])
        words.append(name)
    return torch.cat(rows), words


def _first_weights(space: CodeSpace, axes: Axes, count: int) -> Tensor:
    """Directions that the first weights stretch most, (count, K), one standard deviation long; none where no layer
    with weights sees the whole code, as in a flow."""
    try:
        weights = space.entrance(len(axes.mean))
    except UserError:
        return axes.mean.new_zeros(0, len(axes.mean))
    first = discovered(weights, count)[0]
    return first * (first @ axes.covariance * first).sum(1).clamp(min=0).sqrt()[:, None]


def _seeds(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise UserError(f"--examples has {text}: want seeds of pictures with commas between, such as 3,8,11") from error


def _strip(space: CodeSpace, axes: Axes, codes: Tensor, name: str, data: ImageData) -> Any:
    images = strip(space, axes, codes, axes.names.index(name))
    return grid(as_pictures(images, data.spec), 256, columns=7).numpy()


def _print(axes: Axes) -> None:
    """The leakage of the three ways, beside the correlation of the labels themselves."""
    for way, title in (("off", "locks off"), ("linear", "locks on, linear"), ("closed", "locks on, closed")):
        found = axes.about["leakage"][way]
        table = Table(title=f"{title}: change of every attribute as one goes up by one standard deviation")
        for column in ("steered", *axes.names, "identity"):
            table.add_column(column, justify="left" if column == "steered" else "right")
        for name, row, identity in zip(axes.controls, found["change"], found["identity"], strict=True):
            table.add_row(name, *(f"{value:+.2f}" for value in row), f"{identity:.2f}")
        Console().print(table)
    for name in axes.controls:
        row = axes.about["labels"][axes.names.index(name)]
        others = (f"{other} {value:+.2f}" for other, value in zip(axes.names, row, strict=True) if other != name)
        print(f"labels that go with {name}: {', '.join(others)}")
