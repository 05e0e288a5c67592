"""What `fit` makes of one GPU: every family eager and captured, beside peers, with its share of the card.

    python -m benchmarks.gpu [--families NAME ...] [--variants NAME ...] [--draw NAME ...] [--seconds 4] [--out FILE]

Each family trains from its YAML, at the sizes of configs/pictures where it has one there, on drawn pictures that lie on
the device, by default those of 32x32 in batches of 64: eager in float32 and in bfloat16 with channels last, then
captured in both. A rate is the median over the rows of the second half of a run, so start-up and capturing do not
count. TFLOP/s are of torch's counter over one forward and backward pass. A part that fails is reported and left out.
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.extraction import extraction
from lightning_gen.contracts import AdversarialModule, GenerativeModule
from lightning_gen.files import write_json
from lightning_gen.reading import read_rows
from lightning_gen.training.fit import build
from lightning_gen.training.fit import main as fit


class Family(NamedTuple):
    """One row of the table.

    Attributes:
        configs: laid over each other.
        rate: images per second of the eager run, roughly, to size the runs.
        batch: images.
        words: more arguments of `fit`.
    """

    configs: list[str]
    rate: int
    batch: int = 64
    words: tuple[str, ...] = ()


def _cifar10(config: str, name: str, rate: int) -> Family:
    return Family([f"configs/{config}.yaml", "configs/data/shapes.yaml", f"configs/pictures/{name}.yaml"], rate)


def _side(pixels: int) -> tuple[str, ...]:
    return "--data.init_args.size", str(pixels)


FAMILIES: dict[str, Family] = {
    "dcgan_cifar10": _cifar10("gan/dcgan", "dcgan_cifar10", 5000),
    "sn_hinge_cifar10": _cifar10("gan/sn_hinge", "sn_hinge_cifar10", 2000),
    "wgan_gp_cifar10": _cifar10("gan/wgan_gp", "wgan_gp_cifar10", 2500),
    "realnvp_cifar10": _cifar10("flow/realnvp", "realnvp_cifar10", 740),
    "glow_deep_cifar10": _cifar10("flow/glow_deep", "glow_deep_cifar10", 200),
    "pixelcnnpp_cifar10": _cifar10("autoregressive/pixelcnnpp", "pixelcnnpp_cifar10", 620),
    "gated_pixelcnn_cifar10": _cifar10("autoregressive/gated_pixelcnn", "gated_pixelcnn_cifar10", 1900),
    "vae_full": Family(["configs/vae/vae_full.yaml", "configs/data/shapes.yaml"], 2000),
    "stylegan2_64": Family(
        ["configs/gan/stylegan2_shapes.yaml", "configs/data/shapes.yaml", "configs/pictures/stylegan2_faces.yaml"],
        200,
        32,
        _side(64),
    ),
    "pix2pix_64": Family(
        ["configs/translation/pix2pix.yaml", "configs/pictures/pix2pix_facades.yaml"],
        300,
        16,
        (*_side(64), "--evaluation.segmenter", "null"),
    ),
    "cyclegan_64": Family(
        ["configs/translation/cyclegan.yaml", "configs/pictures/cyclegan_facades.yaml"], 60, 4, _side(64)
    ),
    "srgan_48": Family(["configs/super_resolution/srgan.yaml", "configs/pictures/srgan_photos.yaml"], 300, 16),
    "stackgan_tree_32": Family(["configs/text/stackgan_tree.yaml"], 1000, 64, _side(32)),
    "midinet": Family(["configs/music/midinet_relativistic.yaml"], 1000),
}
#: whose gains an issue of ours asked for; the default
CIFAR10 = [name for name in FAMILIES if name.endswith("_cifar10")]
BF16 = ["--trainer.precision", "bf16-mixed", "--run.channels_last", "true"]
FLOAT32 = ["--run.channels_last", "false"]
#: variant -> arguments, and how many times as many images as the eager run of equal length
VARIANTS: dict[str, tuple[list[str], float]] = {
    "eager_float32": (["--run.capture", "false", *FLOAT32], 1.0),
    "captured_float32": (["--run.capture", "true", *FLOAT32], 3.0),
    "eager_bf16": (["--run.capture", "false", *BF16], 1.0),
    "captured_bf16": (["--run.capture", "true", *BF16], 4.0),
}
BATCH = 64
#: dense bfloat16 products, TFLOP/s, of the makers' data sheets
PEAK = {"H100": 989.0, "H200": 989.0, "A100": 312.0}


def arguments(name: str) -> list[str]:
    """Of `fit`, for one family on drawn pictures."""
    family = FAMILIES[name]
    words = [word for config in family.configs for word in ("-c", config)]
    quiet = ["--evaluation.samples", "0", "--run.evaluate_every", "0", "--run.health_every", "0"]
    batch = ["--data.init_args.batch_size", str(family.batch)]
    return [*words, *quiet, *batch, *family.words, "--trainer.accelerator", "gpu"]


def rate(name: str, words: list[str], images: int, folder: Path) -> dict[str, float]:
    """Images per second of `fit`, and the memory it took in GB."""
    batch = FAMILIES[name].batch
    batches = max(24, images // batch)
    run = ["--run.root", str(folder), "--run.name", "x", "--run.images", str(batches * batch)]
    torch.cuda.reset_peak_memory_stats()
    with contextlib.redirect_stdout(io.StringIO()), _without_preview():
        fit([*arguments(name), *words, *run, "--trainer.log_every_n_steps", str(max(2, batches // 12))])
    rows = [row for row in read_rows(folder / "x" / "metrics.jsonl") if "speed/images_per_second" in row]
    late = rows[len(rows) // 2 : -1] or rows
    losses = {key: value for key, value in rows[-1].items() if key.startswith("train/")}
    return {
        "images_per_second": median(row["speed/images_per_second"] for row in late),
        "data_wait": median(row["speed/data_wait"] for row in late),
        "memory_gb": rows[-1]["speed/memory_gb"],
        **losses,
    }


@contextlib.contextmanager
def _without_preview() -> Any:
    """A grid of an autoregressive model at the end would take longer than the run."""
    own = GenerativeModule.preview
    GenerativeModule.preview = lambda self, batch, generator=None: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        GenerativeModule.preview = own  # type: ignore[method-assign]


def flops_per_image(name: str) -> float:
    """Of one training step: all losses forward and backward."""
    cli = build(arguments(name))
    module = cli.model.cuda()
    module.trainer = cli.trainer
    batch = next(iter(cli.datamodule.batches("train", FAMILIES[name].batch)))
    batch = {key: value.cuda() for key, value in batch.items() if isinstance(value, torch.Tensor)}
    with FlopCounterMode(display=False) as counter:
        if isinstance(module, AdversarialModule):
            for losses in (module.discriminator_losses(batch), module.generator_losses(batch)):
                sum(value for value in losses.values()).backward()
        else:
            module._loss(batch).backward()
    return counter.get_total_flops() / FAMILIES[name].batch


def family(name: str, seconds: float, variants: list[str]) -> dict[str, Any]:
    """The variants of one family, one after the other."""
    found: dict[str, Any] = {}
    try:
        flops = flops_per_image(name)
    except RuntimeError:  # the counter does not follow gradients of gradients
        flops = float("nan")
    for variant in variants:
        words, times = VARIANTS[variant]
        images = int(FAMILIES[name].rate * seconds * times)
        with tempfile.TemporaryDirectory() as folder:
            found[variant] = rate(name, words, images, Path(folder))
        found[variant]["tflops"] = flops * found[variant]["images_per_second"] / 1e12
        print(name, variant, json.dumps({k: round(v, 4) for k, v in found[variant].items()}), flush=True)
    rates = {variant: found[variant]["images_per_second"] for variant in variants}
    gains = {f"gain_{name}": rate / rates["eager_float32"] for name, rate in rates.items() if "eager_float32" in rates}
    return found | gains


def normflows_glow(seconds: float) -> dict[str, Any]:
    """A training step of normflows' Glow of K = 32 and width 128, the size of glow_deep_cifar10, eager."""
    from benchmarks.flow_peers import glow_of_normflows

    peer = glow_of_normflows(32).cuda()
    optimizer = torch.optim.Adamax(peer.parameters(), 1e-3)
    image = torch.rand(BATCH, 3, 32, 32, device="cuda")

    def step() -> None:
        optimizer.zero_grad()
        peer.forward_kld(image).backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()

    return {"images_per_second": BATCH / timed(step, seconds)}


def timed(step: Callable[[], Any], seconds: float) -> float:
    """Median seconds of a call, after two that do not count."""
    times = []
    for _ in range(2):
        step()
    torch.cuda.synchronize()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return median(times)


def drawing(name: str) -> dict[str, float]:
    """Seconds for 64 pictures of 32x32, the second time."""
    module = build(arguments(name)).model.cuda().eval()
    taken = []
    with torch.no_grad():
        for _ in range(2):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            module.sample(64, generator=torch.Generator().manual_seed(0))
            torch.cuda.synchronize()
            taken.append(time.perf_counter() - begin)
    return {"first_seconds": taken[0], "seconds": taken[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="*", choices=list(FAMILIES), default=CIFAR10)
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--draw", nargs="*", default=["pixelcnnpp_cifar10", "gated_pixelcnn_cifar10"])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement, roughly (4)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"))
    options = parser.parse_args()
    card = torch.cuda.get_device_name()
    found: dict[str, Any] = {"card": card, "torch": torch.__version__, "batch": BATCH, "families": {}, "drawing": {}}
    found["peak_tflops"] = next((peak for name, peak in PEAK.items() if name in card), None)
    for name in options.families:
        _part(found["families"], name, lambda name=name: family(name, options.seconds, options.variants))
    for name in options.draw:
        _part(found["drawing"], name, lambda name=name: drawing(name))
    _part(found, "normflows_glow", lambda: normflows_glow(options.seconds))
    _part(found, "extraction", lambda: extraction(256, 20, "cuda"))
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def _part(found: dict[str, Any], name: str, measure: Callable[[], Any]) -> None:
    try:
        found[name] = measure()
    except Exception:
        found[name] = {"failed": traceback.format_exc(limit=-3)}
        print(name, "failed", traceback.format_exc(), flush=True)


if __name__ == "__main__":
    main()
