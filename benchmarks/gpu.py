"""What `fit` makes of one GPU: every family eager and captured, beside peers, with its share of the card.

    python -m benchmarks.gpu [--families NAME ...] [--seconds 4] [--out FILE]

Each family trains from its YAML at the CIFAR-10 sizes of configs/pictures, on drawn pictures of 32x32 that lie on the
device, in batches of 64: eager in float32 and in bfloat16 with channels last, then captured in both. A rate is the
median over the rows of the second half of a run, so start-up and capturing do not count. TFLOP/s are of torch's counter
over one forward and backward pass. A part that fails is reported and left out.
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
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from lightning_gen.contracts import AdversarialModule, GenerativeModule
from lightning_gen.files import write_json
from lightning_gen.reading import read_rows
from lightning_gen.training.fit import build
from lightning_gen.training.fit import main as fit

#: name -> configurations, and images per second of the eager run, roughly, to size the runs
FAMILIES: dict[str, tuple[list[str], int]] = {
    "dcgan_cifar10": (["configs/gan/dcgan.yaml"], 5000),
    "sn_hinge_cifar10": (["configs/gan/sn_hinge.yaml"], 2000),
    "wgan_gp_cifar10": (["configs/gan/wgan_gp.yaml"], 2500),
    "realnvp_cifar10": (["configs/flow/realnvp.yaml"], 740),
    "glow_deep_cifar10": (["configs/flow/glow_deep.yaml"], 200),
    "pixelcnnpp_cifar10": (["configs/autoregressive/pixelcnnpp.yaml"], 620),
    "gated_pixelcnn_cifar10": (["configs/autoregressive/gated_pixelcnn.yaml"], 1900),
}
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
    """Of `fit`, for one family at its CIFAR-10 sizes on drawn pictures."""
    configs = [*FAMILIES[name][0], "configs/data/shapes.yaml", f"configs/pictures/{name}.yaml"]
    words = [word for config in configs for word in ("-c", config)]
    quiet = ["--evaluation.samples", "0", "--run.evaluate_every", "0", "--run.health_every", "0"]
    return [*words, *quiet, "--data.init_args.batch_size", str(BATCH), "--trainer.accelerator", "gpu"]


def rate(name: str, words: list[str], images: int, folder: Path) -> dict[str, float]:
    """Images per second of `fit`, and the memory it took in GB."""
    batches = max(24, images // BATCH)
    run = ["--run.root", str(folder), "--run.name", "x", "--run.images", str(batches * BATCH)]
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
    batch = next(iter(cli.datamodule.batches("train", BATCH)))
    batch = {key: value.cuda() for key, value in batch.items() if isinstance(value, torch.Tensor)}
    with FlopCounterMode(display=False) as counter:
        if isinstance(module, AdversarialModule):
            for losses in (module.discriminator_losses(batch), module.generator_losses(batch)):
                sum(value for value in losses.values()).backward()
        else:
            module._loss(batch).backward()
    return counter.get_total_flops() / BATCH


def family(name: str, seconds: float) -> dict[str, Any]:
    """All variants of one family, one after the other."""
    found: dict[str, Any] = {}
    try:
        flops = flops_per_image(name)
    except RuntimeError:  # the counter does not follow gradients of gradients
        flops = float("nan")
    for variant, (words, times) in VARIANTS.items():
        images = int(FAMILIES[name][1] * seconds * times)
        with tempfile.TemporaryDirectory() as folder:
            found[variant] = rate(name, words, images, Path(folder))
        found[variant]["tflops"] = flops * found[variant]["images_per_second"] / 1e12
        print(name, variant, json.dumps({k: round(v, 4) for k, v in found[variant].items()}), flush=True)
    base = found["eager_float32"]["images_per_second"]
    found["gain_float32"] = found["captured_float32"]["images_per_second"] / base
    found["gain_bf16"] = found["captured_bf16"]["images_per_second"] / base
    return found


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
    parser.add_argument("--families", nargs="*", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--draw", nargs="*", default=["pixelcnnpp_cifar10", "gated_pixelcnn_cifar10"])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement, roughly (4)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"))
    options = parser.parse_args()
    card = torch.cuda.get_device_name()
    found: dict[str, Any] = {"card": card, "torch": torch.__version__, "batch": BATCH, "families": {}, "drawing": {}}
    found["peak_tflops"] = next((peak for name, peak in PEAK.items() if name in card), None)
    for name in options.families:
        _part(found["families"], name, lambda name=name: family(name, options.seconds))
    for name in options.draw:
        _part(found["drawing"], name, lambda name=name: drawing(name))
    _part(found, "normflows_glow", lambda: normflows_glow(options.seconds))
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
