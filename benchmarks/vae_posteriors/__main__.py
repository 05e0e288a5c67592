"""Does a flow posterior improve the bound? Every posterior trains from its YAML with the same networks, budget and
seeds; the checkpoint that was best on validation images is judged on test images. What is trained or judged already
stays, so the command can be stopped and repeated.

    python -m benchmarks.vae_posteriors --mnist DIR             # everything: about 25 minutes of one core
    python -m benchmarks.vae_posteriors --data digits --seeds 0 # a part of it
"""

import argparse
import math
import time
from pathlib import Path
from typing import Any, ClassVar

import torch

from benchmarks.documents import mean_and_error, write_between
from benchmarks.interleave import RESULTS, hardware
from lightning_gen.batches import without_image
from lightning_gen.config.cli import main as command
from lightning_gen.config.loading import checkpoint_path, load_data, load_module
from lightning_gen.contracts import ImageData, VariationalModule
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.files import write_json
from lightning_gen.reading import read_json

POSTERIORS = {
    "vae": "Gaussian",
    "vae_planar": "planar flow, 8 layers",
    "vae_sylvester": "Sylvester flow (orthogonal), 4 layers",
    "vae_iaf": "inverse autoregressive flow, 4 layers",
    "vae_coupling": "affine couplings, 4 layers",
}
SETS = {"digits": "digits, 8x8, 17 levels", "mnist": "binarised MNIST, 28x28"}
WEIGHTS = 64
HERE, DOCS = Path(__file__).parent, Path("docs/vae.md")
BEGIN, END = "<!-- begin: written by benchmarks.vae_posteriors -->", "<!-- end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=list(SETS), nargs="+", default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mnist", default="data/mnist", help="folder with train.zip and test.zip of pictures by class")
    parser.add_argument("--root", type=Path, default=Path("runs/vae_posteriors"))
    options = parser.parse_args()
    for seed in options.seeds:
        for data in options.data:
            for posterior in POSTERIORS:
                run = options.root / f"{data}-{posterior}-{seed}"
                if not (run / "judged.json").exists():
                    _train(run, data, posterior, seed, options.mnist)
                    write_json(
                        run / "judged.json", _judge(run, data) | {"data": data, "posterior": posterior, "seed": seed}
                    )
                    print(run.name, (run / "judged.json").read_text(), flush=True)
    _write([read_json(path) for path in sorted(options.root.glob("*/judged.json"))])


def _train(run: Path, data: str, posterior: str, seed: int, mnist: str) -> None:
    arguments = ["fit", "-c", f"configs/vae/{posterior}.yaml", "-c", str(HERE / f"{data}.yaml")]
    arguments += ["--run.root", str(run.parent), "--run.name", run.name, "--run.resume", "same"]
    arguments += ["--seed_everything", str(seed), "--data.init_args.seed", str(seed)]
    arguments += ["--data.init_args.root", mnist] if data == "mnist" else []
    if command(arguments):
        raise SystemExit(2)


def _judge(run: Path, name: str) -> dict[str, Any]:
    """Nats per test image."""
    began = time.monotonic()
    module, data = load_module(checkpoint_path(run, "best")), _Images.of(name, run)
    assert isinstance(module, VariationalModule)
    about, nats = read_json(run / "run.json"), module.spec.dims * math.log(2.0)
    values = {}
    for bound, weights in (("elbo", 1), ("iwae", WEIGHTS)):
        measured = Evaluation("test", samples=0, weights=weights).measure(module, data)["bits_per_dim"]
        values[bound] = -nats * measured["value"]
    return {
        **values,
        "rate": _rate(module, data),
        "weights": WEIGHTS,
        "images": data.size("test"),
        "images_seen": module.images_seen,
        "parameters": about["parameters"],
        "commit": about["commit"],
        "started": about["started"],
        "judged_in": round(time.monotonic() - began, 1),
    }


class _Images:
    """The set of each name, read once: its test images are the same for every seed."""

    read: ClassVar[dict[str, ImageData]] = {}

    @classmethod
    def of(cls, name: str, run: Path) -> ImageData:
        if name not in cls.read:
            cls.read[name] = load_data(run / "config.yaml")
        return cls.read[name]


@torch.no_grad()
def _rate(module: VariationalModule, data: ImageData) -> float:
    """Mean KL divergence of the posterior from the prior, one draw per image."""
    torch.manual_seed(0)
    rates = [module.terms(b["image"], without_image(b))[1].sum(1) for b in data.batches("test", 256)]
    return torch.cat(rates).double().mean().item()


def _write(rows: list[dict[str, Any]]) -> None:
    write_json(RESULTS / "vae_posteriors.json", {"hardware": hardware(), "rows": rows})
    tables = (_table(data, [r for r in rows if r["data"] == data]) for data in SETS)
    write_between(DOCS, BEGIN, END, "\n\n".join(tables))


def _table(data: str, rows: list[dict[str, Any]]) -> str:
    lines = ["", "| posterior | ELBO | gain over Gaussian | iwae-64 | gain over Gaussian | KL | seeds | parameters |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    gaussian = {row["seed"]: row for row in rows if row["posterior"] == "vae"}
    for posterior, name in POSTERIORS.items():
        own = [row for row in rows if row["posterior"] == posterior]
        if not own:
            continue
        cells = [name]
        for key in ("elbo", "iwae"):
            gains = [row[key] - gaussian[row["seed"]][key] for row in own if row["seed"] in gaussian]
            gain = "" if posterior == "vae" else mean_and_error(gains, sign="+")
            cells += [mean_and_error([row[key] for row in own]), gain]
        cells += [mean_and_error([row["rate"] for row in own]), str(len(own)), f"{own[0]['parameters']:,}"]
        lines.append(f"| {' | '.join(cells)} |")
    images = rows[0]["images"] if rows else 0
    about = f"{SETS[data]}: nats per image over {images:,} test images, ± standard error over seeds. Higher is better."
    return "\n".join([about, *lines, ""])


if __name__ == "__main__":
    main()
