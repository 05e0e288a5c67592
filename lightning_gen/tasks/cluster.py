"""Do the codes fall into the classes by themselves? Mixtures of Gaussians and k-means on codes, on as many principal
components and on pixels, held against the labels."""

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import LatentModule
from lightning_gen.errors import UserError
from lightning_gen.files import write_png
from lightning_gen.images import grid
from lightning_gen.tasks.common.codes import Codes, codes_of
from lightning_gen.tasks.common.require import require

__all__ = ["agreement", "main"]


def main(arguments: list[str]) -> None:
    """``lightning-gen cluster RUN [--clusters K] [--split test] [--images N] [--seed S] [--out FILE]``."""
    parser = Arguments("cluster", __doc__)
    parser.run()
    parser.add_argument("--clusters", type=positive, help="(as many as there are classes, 10 without)")
    parser.split()
    parser.add_argument("--images", type=positive, default=5000, help="at most so many (5000)")
    parser.seed()
    parser.file("out", ".png", help="PNG to write, a row of members per cluster (RUN/samples/cluster.png)")
    options = parser.parse_args(arguments)

    module, data = load_run(options.run, options.checkpoint)
    codes = codes_of(require(module, LatentModule), data, options.split, options.images)
    clusters = options.clusters or data.spec.classes or 10
    if clusters > len(codes.z):
        raise UserError(f"--clusters is {clusters}: want at most {len(codes.z)}, the number of images")
    rows, members = agreement(codes, clusters, options.seed)
    out = options.out or options.run / "samples" / "cluster.png"
    shown = _members(codes, members, clusters, data.spec.shape, data.spec.levels)
    write_png(out, grid(shown, data.spec.levels, columns=12).numpy())
    table = Table(title=f"{options.run}: {len(codes.z):,} {options.split} images in {clusters} clusters")
    for column in ("features", "method", "NMI", "ARI"):
        table.add_column(column, justify="right" if column in ("NMI", "ARI") else "left")
    for features, method, scores in rows:
        table.add_row(features, method, *(f"{score:.4f}" for score in scores))
    Console().print(table)
    print(f"{out}: each row some members of a cluster of codes")


def agreement(codes: Codes, clusters: int, seed: int) -> tuple[list[tuple[str, str, tuple[float, ...]]], np.ndarray]:
    """Compute normalised mutual information (0..1) and adjusted Rand index (1 at best, 0 by chance) with the labels,
    empty where there are none; and the cluster of each code by the mixture."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.mixture import GaussianMixture

    length = min(codes.z.shape[1], *codes.pixels.shape)
    components = PCA(length, random_state=seed).fit_transform(codes.pixels)
    rows: list[tuple[str, str, tuple[float, ...]]] = []
    found: dict[tuple[str, str], np.ndarray] = {}
    for features, values in {"codes": codes.z, "PCA": components, "pixels": codes.pixels}.items():
        methods = {
            "Gaussian mixture": GaussianMixture(
                clusters, covariance_type="diag", reg_covar=1e-3, n_init=3, random_state=seed
            ),
            "k-means": KMeans(clusters, n_init=10, random_state=seed),
        }
        for method, model in methods.items():
            found[features, method] = model.fit_predict(values)
            scores: tuple[float, ...] = ()
            if codes.label is not None:
                pair = (codes.label, found[features, method])
                scores = (float(normalized_mutual_info_score(*pair)), float(adjusted_rand_score(*pair)))
            rows.append((features, method, scores))
    return rows, found["codes", "Gaussian mixture"]


def _members(
    codes: Codes, members: np.ndarray, clusters: int, shape: tuple[int, int, int], levels: int, columns: int = 12
) -> torch.Tensor:
    """(clusters * columns, C, H, W), a row per cluster, blank where it has fewer members."""
    shown = torch.full((clusters * columns, *shape), levels - 1, dtype=torch.uint8)
    pixels = (torch.from_numpy(codes.pixels) * (levels - 1)).round().to(torch.uint8).view(-1, *shape)
    for cluster in range(clusters):
        own = pixels[np.flatnonzero(members == cluster)[:columns]]
        shown[cluster * columns : cluster * columns + len(own)] = own
    return shown
