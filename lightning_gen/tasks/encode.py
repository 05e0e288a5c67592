"""Images as a table of codes, and what the codes keep: accuracy of the nearest neighbours' label and trustworthiness of
the neighbourhoods, beside as many principal components of the pixels."""

import io

import numpy as np
from rich.console import Console
from rich.table import Table

from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import LatentModule
from lightning_gen.files import write_text
from lightning_gen.tasks.common.codes import Codes, codes_of
from lightning_gen.tasks.common.require import require

__all__ = ["main", "quality"]


def main(arguments: list[str]) -> None:
    """``lightning-gen encode RUN [--split test] [--images N] [--neighbours K] [--out FILE]``."""
    parser = Arguments("encode", __doc__)
    parser.run()
    parser.split()
    parser.add_argument("--images", type=positive, default=5000, help="at most so many of a split (5000)")
    parser.add_argument("--neighbours", type=positive, default=5, help="neighbours that are looked at (5)")
    parser.file("out", ".csv", help="CSV to write (RUN/codes_SPLIT.csv)")
    options = parser.parse_args(arguments)

    module, data = load_run(options.run, options.checkpoint)
    encoder = require(module, LatentModule)
    train, held = (codes_of(encoder, data, split, options.images) for split in ("train", options.split))
    out = options.out or options.run / f"codes_{options.split}.csv"
    write_text(out, _csv(held))
    table = Table(title=f"{options.run}: {len(held.z):,} {options.split} images, {options.neighbours} neighbours")
    for column in ("features", "length", "trustworthiness", "accuracy of neighbours"):
        table.add_column(column, justify="left" if column == "features" else "right")
    for name, (length, trust, accuracy) in quality(train, held, options.neighbours).items():
        table.add_row(name, str(length), f"{trust:.4f}", "" if accuracy is None else f"{accuracy:.4f}")
    Console().print(table)
    print(out)


def _csv(codes: Codes) -> str:
    names = ["image", *(["label"] if codes.label is not None else []), *(f"z{i}" for i in range(codes.z.shape[1]))]
    columns = [np.arange(len(codes.z)), *([codes.label] if codes.label is not None else []), *codes.z.T]
    stream = io.StringIO()
    whole = len(names) - codes.z.shape[1]
    np.savetxt(
        stream,
        np.column_stack(columns),
        fmt=["%d"] * whole + ["%.7g"] * codes.z.shape[1],
        delimiter=",",
        header=",".join(names),
        comments="",
    )
    return stream.getvalue()


def quality(train: Codes, held: Codes, neighbours: int) -> dict[str, tuple[int, float, float | None]]:
    """Judge features -> their length, trustworthiness (Venna and Kaski 2001; 0..1) with respect to the pixels, and
    accuracy of the neighbours' vote where there are labels (train against held)."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import trustworthiness
    from sklearn.neighbors import KNeighborsClassifier

    length = min(train.z.shape[1], train.pixels.shape[1], len(train.pixels))
    pca = PCA(length, random_state=0).fit(train.pixels)
    features = {
        "codes": (train.z, held.z),
        "PCA": (pca.transform(train.pixels), pca.transform(held.pixels)),
        "pixels": (train.pixels, held.pixels),
    }
    found: dict[str, tuple[int, float, float | None]] = {}
    for name, (a, b) in features.items():
        few = min(neighbours, (len(b) - 1) // 2)  # what the definition allows
        trust = float(trustworthiness(held.pixels[:2000], b[:2000], n_neighbors=few))
        accuracy = None
        if train.label is not None and held.label is not None:
            accuracy = float(KNeighborsClassifier(neighbours).fit(a, train.label).score(b, held.label))
        found[name] = (b.shape[1], trust, accuracy)
    return found
