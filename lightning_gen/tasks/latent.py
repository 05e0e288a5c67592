"""Pictures of the latent space: a map of the codes, the manifold that the decoder makes of a plane, and ways between
images."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_gen.batches import Batch, without_image
from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import ImageData, LatentModule
from lightning_gen.errors import UserError
from lightning_gen.files import check_folder, write_figure, write_png
from lightning_gen.images import grid
from lightning_gen.tasks.common.codes import Codes, codes_of
from lightning_gen.tasks.common.require import require

__all__ = ["main", "plane"]


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen latent RUN [--side N] [--pairs N] [--steps N] [--images N] [--out FOLDER]``."""
    parser = Arguments("latent", __doc__)
    parser.run()
    parser.add_argument("--side", type=positive, default=16, help="images along a side of the manifold (16)")
    parser.add_argument("--pairs", type=positive, default=6, help="pairs of images to go between (6)")
    parser.add_argument("--steps", type=positive, default=10, help="images from one to the other (10)")
    parser.add_argument("--images", type=positive, default=5000, help="at most so many on the map (5000)")
    parser.add_argument("--out", type=Path, help="folder to write into (RUN/latent)")
    options = parser.parse_args(arguments)
    out = options.out or options.run / "latent"
    check_folder("--out", out)

    module, data = load_run(options.run, options.checkpoint)
    model, levels = require(module, LatentModule), data.spec.levels
    if module.condition_keys:
        raise UserError(f"{type(module).__name__} has a condition: want a model without, one plane holds all images")
    codes = codes_of(model, data, "test", options.images)
    centre, axes, lengths = plane(codes.z)
    _map(out / "map.png", codes, (codes.z - centre) @ axes.T, data)
    spots = _spots(options.side) * lengths  # (side^2, 2)
    manifold = model.decode(torch.from_numpy(centre + spots @ axes).float())
    write_png(out / "manifold.png", grid(manifold, levels, columns=options.side, cell=40, gap=1).numpy())
    batch = next(data.batches("test", 2 * options.pairs))
    ways = between(model, batch, options.steps)
    write_png(out / "interpolation.png", grid(ways, levels, columns=options.steps + 2).numpy())
    for name in ("map", "manifold", "interpolation"):
        print(out / f"{name}.png")


def plane(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the plane in which codes (N, Z) spread most: centre (Z,), axes (2, Z), deviation along each (2,). Two latent
    variables are their own plane, one alone has its axis twice."""
    centre = z.mean(0)
    if z.shape[1] == 2:
        return centre, np.eye(2), z.std(0)
    _, sizes, axes = np.linalg.svd(z - centre, full_matrices=False)
    chosen = [0, min(1, len(axes) - 1)]
    return centre, axes[chosen], sizes[chosen] / np.sqrt(len(z))


def _spots(side: int) -> np.ndarray:
    """Equally likely steps of a Gaussian along both axes (Kingma and Welling 2014, Figure 4), top row first."""
    from scipy.stats import norm

    steps = norm.ppf((np.arange(side) + 0.5) / side)
    return np.stack([np.tile(steps, side), np.repeat(-steps, side)], 1)


def between(model: LatentModule, batch: Batch, steps: int) -> Tensor:
    """Make rows of: an image, `steps` decoded codes on the straight line to the code of another image, that image."""
    image, condition = batch["image"], without_image(batch)
    half = len(image) // 2
    z = model.encode(image, condition)
    ways = torch.linspace(0.0, 1.0, steps)[None, :, None]
    line = z[:half, None] * (1 - ways) + z[half : 2 * half, None] * ways  # (pairs, steps, Z)
    decoded = model.decode(line.flatten(0, 1)).unflatten(0, (half, steps))
    return torch.cat([image[:half, None], decoded, image[half : 2 * half, None]], 1).flatten(0, 1)


def _map(path: Path, codes: Codes, points: np.ndarray, data: ImageData) -> None:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    if codes.label is None:
        axes.scatter(points[:, 0], points[:, 1], s=6, color="tab:blue", alpha=0.6)
    else:
        names = data.class_names or [str(i) for i in range(int(codes.label.max()) + 1)]
        for number, name in enumerate(names):
            own = points[codes.label == number]
            axes.scatter(own[:, 0], own[:, 1], s=7, label=name, color=colormaps["tab10"](number % 10), alpha=0.7)
        if len(names) <= 20:
            axes.legend(frameon=False, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    which = "latent variable {}" if codes.z.shape[1] == 2 else "principal component {} of the codes"
    axes.set(xlabel=which.format(1), ylabel=which.format(2), title=f"{len(points):,} test images")
    write_figure(path, figure, dpi=110)
