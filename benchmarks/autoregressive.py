"""How much faster is drawing with a reader than with the whole network for every value, and how fast is training?

    python -m benchmarks.autoregressive            # 28x28 grey, 16 images; results/autoregressive.json

The naive loop is timed at four places spread over the image, each a pass of the whole network, and multiplied by
784 / 4 (its cost is the same at every place); drawing with a reader is timed whole. Memory is what the process takes at
most while the network trains, above what it took before.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from benchmarks.interleave import interleave, record
from benchmarks.training import parameters, training_step
from lightning_gen.distributions.likelihoods import Categorical, LogisticMixture, pick
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.models.autoregressive import Autoregressive
from lightning_gen.nets.autoregressive.diagonal_bilstm import DiagonalBiLSTM
from lightning_gen.nets.autoregressive.gated_pixelcnn import GatedPixelCNN
from lightning_gen.nets.autoregressive.image_transformer import ImageTransformer
from lightning_gen.nets.autoregressive.pixelcnn import PixelCNN
from lightning_gen.nets.autoregressive.pixelcnnpp import PixelCNNpp
from lightning_gen.nets.autoregressive.row_lstm import RowLSTM

SPEC, BATCH = ImageSpec(1, 28, 28), 16
#: where the naive loop is timed: row, column
PLACES = ((0, 0), (9, 18), (18, 9), (27, 27))
#: sizes of the configs
NETS: dict[str, Callable[..., nn.Module]] = {
    "gated_pixelcnn": partial(GatedPixelCNN, width=32, layers=8),
    "pixelcnn": partial(PixelCNN, width=32, blocks=6),
    "pixelcnnpp": partial(PixelCNNpp, width=24, blocks=1, stages=2),
    "row_lstm": partial(RowLSTM, width=32, layers=4),
    "diagonal_bilstm": partial(DiagonalBiLSTM, width=24, layers=3),
    "image_transformer": partial(ImageTransformer, width=64, layers=4, heads=4),
}


def model(name: str) -> Autoregressive:
    torch.manual_seed(0)
    likelihood = partial(LogisticMixture, mixtures=5) if name == "pixelcnnpp" else Categorical
    return Autoregressive(SPEC, NETS[name], torch.optim.Adam, likelihood).eval()  # type: ignore[arg-type]


@torch.inference_mode()
def naive_values(module: Autoregressive, image: torch.Tensor) -> None:
    """A value at each of `PLACES`, as a loop without a reader draws it: the whole network, then its pixel."""
    for row, column in PLACES:
        pixel = slice(row, row + 1), slice(column, column + 1)
        raw = module.net(to_signed(image, SPEC.levels))[:, :, *pixel]
        level = pick(module.likelihood.pmf(raw, image[:, :, *pixel], 0), torch.rand(BATCH, 1, 1, 1))
        image[:, 0, *pixel] = level


def train(name: str) -> None:
    """In a process of its own: images per second and memory, as JSON."""
    module, image = model(name).train(), torch.randint(256, (BATCH, *SPEC.shape), dtype=torch.uint8)
    step = training_step(module, lambda: -module.log_prob(image).mean())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row = {"img_per_s": round(BATCH / statistics.median(seconds[1:]), 1), "memory_mb": round((peak - before) / 1024)}
    print(json.dumps(row | {"parameters": parameters(module)}))


def main(repeats: int = 3) -> None:
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {}
    speedup, rows = {}, {}
    for name in NETS:  # the two ways of one network take turns; what is known is written after each network
        reader, naive = f"{name}, reader, image", f"{name}, naive, {len(PLACES)} pixels"
        module, image = model(name), torch.randint(256, (BATCH, *SPEC.shape), dtype=torch.uint8)
        cases = {reader: partial(module.sample, BATCH), naive: partial(naive_values, module, image)}
        seconds |= interleave(cases, repeats, warmup=1)
        share = SPEC.height * SPEC.width / len(PLACES)
        ratios = sorted(share * a / b for a, b in zip(seconds[naive], seconds[reader], strict=True))
        names = ("least", "median", "most")
        found = (ratios[0], statistics.median(ratios), ratios[-1])
        speedup[name] = {key: round(value, 1) for key, value in zip(names, found, strict=True)}
        words = [sys.executable, "-m", "benchmarks.autoregressive", name]
        rows[name] = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        about, more = {"shape": SPEC.shape, "batch": BATCH}, {"times_faster_than_naive": speedup, "training": rows}
        record("autoregressive", seconds, "gated_pixelcnn, reader, image", about, **more)
        print(f"{name}: {speedup[name]} times faster than naive; training {rows[name]}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        torch.set_num_threads(1)
        train(sys.argv[1])
    else:
        main()
