"""Pictures of your own at a larger size: a folder, a zip file or one picture, of any size.

lightning-gen upscale RUN FOLDER --out OUT                  # sub/a.jpg becomes OUT/sub/a.png
lightning-gen upscale RUN PICTURE --out OUT --panels SEEN   # and bicubic | network, side by side, in SEEN
lightning-gen upscale PIXELS PICTURE --out OUT --blend GAME --amount 0.7   # weights between those of two runs

Large pictures go through the network in tiles. An alpha channel is enlarged by a bicubic filter; grey stays grey. A
model of grey pictures enlarges the luma of colours, whose chroma a bicubic filter enlarges.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from lightning_gen.config.arguments import Arguments, positive, share
from lightning_gen.config.loading import checkpoint_path, load_module
from lightning_gen.contracts import SuperResolutionModule
from lightning_gen.data.decode import open_layers
from lightning_gen.data.sides import read_as
from lightning_gen.errors import UserError
from lightning_gen.files import write_png
from lightning_gen.images import to_display
from lightning_gen.tasks.common.picture_files import Job, plan
from lightning_gen.tasks.common.picture_loop import each_picture
from lightning_gen.tasks.common.require import require
from lightning_gen.tasks.common.tiles import Tiles

__all__ = ["Enlarger", "blend", "main"]

#: pixels of the longer side of each half of a panel
_PANEL = 480


def main(arguments: list[str]) -> None:
    """``lightning-gen upscale RUN PICTURES --out FOLDER [--panels FOLDER] [--tile N] [--blend RUN --amount A]``."""
    options = _parser().parse_args(arguments)
    if options.tile < 64 or options.tile % 8:
        raise UserError(f"--tile is {options.tile}: want a multiple of 8 pixels, 64 or more")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = require(load_module(checkpoint_path(options.run, options.checkpoint)), SuperResolutionModule)
    if options.blend:
        other = require(load_module(checkpoint_path(options.blend, options.checkpoint)), SuperResolutionModule)
        blend(module, other, options.amount)
    enlarger = Enlarger(module.to(device), options.tile)
    jobs = plan(options.pictures, options.out)
    panels = [job.targets[0] for job in plan(options.pictures, options.panels)] if options.panels else None
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("upscale", total=len(jobs))

        def work(number: int, job: Job) -> None:
            enlarger.file(job, panels[number] if panels else None)

        done = each_picture(jobs, work, lambda: progress.advance(task))
    left_out = f", {len(jobs) - len(done)} left out" if len(done) < len(jobs) else ""
    print(f"{options.out}: {len(done):,} picture{'s' if len(done) > 1 else ''}, x{enlarger.scale}{left_out}")


def _parser() -> Arguments:
    parser = Arguments("upscale", __doc__)
    parser.run()
    parser.add_argument("pictures", type=Path, metavar="PICTURES", help="folder, zip file or one picture")
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files; none is overwritten")
    parser.add_argument("--panels", type=Path, metavar="FOLDER", help="bicubic beside network, of the middle of each")
    parser.add_argument("--tile", type=positive, default=256, help="larger pictures are cut into tiles, pixels (256)")
    parser.add_argument("--blend", type=Path, metavar="RUN", help="another run of the same network")
    parser.add_argument("--amount", type=share, default=0.5, help="of the weights of the other run, 0 to 1 (0.5)")
    return parser


def blend(module: SuperResolutionModule, other: SuperResolutionModule, amount: float) -> None:
    """Move the weights of `module` by `amount` of the way, 0 to 1, to those of `other` (Wang et al. 2018, Section 3.4).

    Raises:
        UserError: the networks are of other shapes.
    """
    mine, theirs = module.ema_network.state_dict(), other.ema_network.state_dict()
    if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in theirs.items()}:
        raise UserError("--blend given: the runs have networks of other shapes, want two of one network")
    floats = {
        name: torch.lerp(value, theirs[name], amount) for name, value in mine.items() if value.is_floating_point()
    }
    module.ema_network.load_state_dict({**mine, **floats})


@dataclass(frozen=True)
class Enlarger:
    """Pictures through a super-resolution model.

    Args:
        module: in eval mode.
        tile: side of a tile of the source, pixels, a multiple of 8.
    """

    module: SuperResolutionModule
    tile: int = 256

    @property
    def scale(self) -> int:
        """Pixels of the output per pixel of the source, along each side."""
        source = self.module.spec.source
        assert source is not None
        return self.module.spec.height // source.height

    @property
    def tiles(self) -> Tiles:
        """Tiles whose overlap covers what the network sees, as far as half a tile allows."""
        return Tiles(self.tile, min(4 * self.module.radius, self.tile // 2 // 4 * 4))

    def file(self, job: Job, panel: Path | None = None) -> None:
        """Enlarge one picture of a folder into its file, and into `panel` draw its middle beside a bicubic one."""
        picture, alpha = open_layers(job.source.read(job.place), job.name)
        large = self.picture(picture, job.name)
        pixels = np.asarray(large)
        if alpha is not None:
            channels = pixels if pixels.ndim == 3 else pixels[:, :, None]
            clear = np.asarray(alpha.resize(large.size, Image.Resampling.BICUBIC))[:, :, None]
            pixels = np.concatenate([channels, clear], 2)
        write_png(job.targets[0], pixels)
        if panel is not None:
            write_png(panel, _panel(picture.resize(large.size, Image.Resampling.BICUBIC), large))

    def picture(self, picture: Image.Image, name: str = "picture") -> Image.Image:
        """Enlarge a picture of mode L or RGB: the same mode, `scale` times its size."""
        channels = self.module.spec.channels
        if channels == 1 and picture.mode == "RGB":
            bands = picture.convert("YCbCr").split()
            size = (picture.width * self.scale, picture.height * self.scale)
            chroma = [band.resize(size, Image.Resampling.BICUBIC) for band in bands[1:]]
            return Image.merge("YCbCr", [self.picture(bands[0], name), *chroma]).convert("RGB")
        source = self.module.spec.source
        assert source is not None
        made = self.enlarge(read_as(picture, source, name)[None])[0]
        pixels = to_display(made, self.module.spec.levels)
        large = Image.fromarray(pixels[0].numpy() if channels == 1 else pixels.permute(1, 2, 0).contiguous().numpy())
        return large if large.mode == picture.mode else large.convert(picture.mode)

    @torch.no_grad()
    def enlarge(self, source: Tensor) -> Tensor:
        """uint8 (1, C, h, w) -> uint8 (1, C, h * scale, w * scale), on the CPU."""
        device = self.module.device
        translate: Callable[[Tensor], Tensor] = lambda tile: self.module.translate({"source": tile.to(device)})  # noqa: E731
        return self.tiles(source, translate, (self.scale, self.scale))


def _panel(before: Image.Image, after: Image.Image) -> np.ndarray:
    """The middle of both, as large as it is, side by side with a white line between."""
    width, height = (min(side, _PANEL) for side in after.size)
    left, top = (after.width - width) // 2, (after.height - height) // 2
    parts = [part.crop((left, top, left + width, top + height)).convert("RGB") for part in (before, after)]
    line = np.full((height, 4, 3), 255, np.uint8)
    return np.concatenate([np.asarray(parts[0]), line, np.asarray(parts[1])], 1)
