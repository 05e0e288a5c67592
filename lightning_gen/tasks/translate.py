"""Pictures of your own through a translation model: a folder, a zip file or one picture.

lightning-gen translate RUN FOLDER --out OUT            # sub/a.jpg becomes OUT/sub/a.png, of the same size
lightning-gen translate RUN PICTURE --out OUT --back    # by the inverse that a CycleGAN has as well
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import checkpoint_path, load_module
from lightning_gen.contracts import BackTranslationModule, ImageModule, TranslationModule
from lightning_gen.data.decode import open_picture
from lightning_gen.data.sides import read_as
from lightning_gen.errors import UserError
from lightning_gen.files import write_png
from lightning_gen.images import ImageSpec, as_pictures
from lightning_gen.tasks.common.picture_files import Job, plan
from lightning_gen.tasks.common.picture_loop import each_picture
from lightning_gen.tasks.common.require import require
from lightning_gen.tasks.common.tiles import Tiles
from lightning_gen.tasks.common.translation_page import write_page

__all__ = ["Direction", "main", "translate_pictures"]


def main(arguments: list[str]) -> None:
    """``lightning-gen translate RUN PICTURES --out FOLDER [--back] [--outputs N] [--tile N] [--page FILE]``."""
    options = _parser().parse_args(arguments)
    tiles = _tiles(options.tile)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = load_module(checkpoint_path(options.run, options.checkpoint)).to(device)
    direction = Direction.of(module, options.back)
    jobs = plan(options.pictures, options.out, options.outputs)
    if options.page and options.page.exists():
        raise UserError(f"--page {options.page} exists already: want another file")
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("translate", total=len(jobs))
        done = translate_pictures(direction, jobs, tiles, options.seed, lambda: progress.advance(task))
    if options.page:
        write_page(options.page, done, options.targets)
    left_out = f", {len(jobs) - len(done)} left out" if len(done) < len(jobs) else ""
    print(f"{options.out}: {len(done):,} picture{'s' if len(done) > 1 else ''} translated{left_out}")


def _parser() -> Arguments:
    parser = Arguments("translate", __doc__)
    parser.run()
    parser.add_argument("pictures", type=Path, metavar="PICTURES", help="folder, zip file or one picture")
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files; none is overwritten")
    parser.add_argument("--back", action="store_true", help="from the target domain to the source domain")
    parser.add_argument("--outputs", type=positive, default=1, help="files per picture, of a stochastic model (1)")
    parser.add_argument("--tile", type=positive, default=1024, help="larger pictures are cut into tiles, pixels (1024)")
    parser.file("page", ".html", help="a page of source and output side by side, of at most 200 pictures")
    parser.add_argument("--targets", type=Path, metavar="FOLDER", help="pictures of equal names, shown on the page too")
    parser.seed()
    return parser


def _tiles(side: int) -> Tiles:
    if side % 64:
        raise UserError(f"--tile is {side}: want a multiple of 64 pixels")
    return Tiles(side, min(256, side // 2))


@dataclass(frozen=True)
class Direction:
    """What a model translates from and into.

    Args:
        module: in eval mode.
        source: spec of what it takes.
        target: spec of what it makes.
        translate: uint8 (1, C', h, w) of the source spec, but for the size -> uint8 (1, C, h', w').
        stochastic: whether other random numbers give another output.
    """

    module: ImageModule
    source: ImageSpec
    target: ImageSpec
    translate: Callable[[Tensor, torch.Generator], Tensor]
    stochastic: bool

    @classmethod
    def of(cls, module: ImageModule, back: bool = False) -> "Direction":
        """Take a model there, or back.

        Raises:
            UserError: it does not translate, not back, or needs more than a source.
        """
        forth = require(module, TranslationModule)
        if more := [key for key in forth.condition_keys if key != "source"]:
            raise UserError(f"{type(module).__name__} is told {', '.join(more)} too: want a batch from Python")
        assert module.spec.source is not None
        source, target = module.spec.source, module.spec.alone()
        if not back:
            return cls(module, source, target, lambda x, g: forth.translate({"source": x}, g), forth.stochastic)
        if not isinstance(module, BackTranslationModule):
            raise UserError(f"--back given: {type(module).__name__} has no inverse, want a model such as CycleGAN")
        inverse = module.translate_back
        return cls(module, target, source, lambda x, g: inverse({"image": x}, g), forth.stochastic)

    @property
    def scale(self) -> tuple[int, int]:
        """Pixels of the output per pixel of the source, down and across."""
        ratios = [(a // b, a % b) for a, b in zip(self.target.shape[1:], self.source.shape[1:], strict=True)]
        if any(rest for _, rest in ratios):
            raise UserError(f"the model makes {self.target} of {self.source}: want sizes whose ratio is whole")
        return ratios[0][0], ratios[1][0]


@torch.no_grad()
def translate_pictures(
    direction: Direction,
    jobs: list[Job],
    tiles: Tiles,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> list[Job]:
    """Translate pictures, file by file; a damaged one is left out and named on standard error.

    Args:
        direction: the model.
        jobs: of `plan`; several outputs per picture are drawn with seeds of their own.
        tiles: how large pictures are cut.
        seed: of all randomness.
        step: called after each picture.

    Returns:
        The jobs whose files were written.

    Raises:
        UserError: several outputs of a model that is not stochastic; or not one picture could be read.
    """
    if jobs and len(jobs[0].targets) > 1 and not direction.stochastic:
        name = type(direction.module).__name__
        raise UserError(f"--outputs {len(jobs[0].targets)} given: this {name} has one output per source, want 1")
    scale = direction.scale

    def work(number: int, job: Job) -> None:
        source = read_as(open_picture(job.source.read(job.place), job.name), direction.source, job.name)
        _translate(direction, source[None], job, tiles, scale, seed * 1_000_003 + number)

    return each_picture(jobs, work, step)


def _translate(direction: Direction, source: Tensor, job: Job, tiles: Tiles, scale: tuple[int, int], seed: int) -> None:
    generator, device = torch.Generator().manual_seed(seed), direction.module.device
    for target in job.targets:
        out = tiles(source, lambda tile: direction.translate(tile.to(device), generator), scale)
        picture = as_pictures(out, direction.target)[0]
        grey = direction.target.channels == 1 and direction.target.palette is None
        pixels = picture[0] if grey else picture.permute(1, 2, 0)
        write_png(target, pixels.contiguous().numpy())
