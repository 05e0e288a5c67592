"""How long does a whole training step of StyleGAN2 take, per 1,000 images, beside the published seconds of its authors
and beside modulated convolutions in their grouped form?

    python -m benchmarks.stylegan2 [--sizes 128 256] [--seconds 20] [--out FILE]

Networks, batches, penalties and augmentation are those of the configuration "auto" of Karras et al. 2020b for one GPU:
channels 16384 / side, at most 512, two layers of mapping, batches of 32 at 128 and 16 at 256 pixels, R1 in every 16th
step, path length in every 4th, the pipeline of augmentation. Their README says 6.79 and 12.53 seconds on an A100, 12.5
and 20.8 on a V100 (with their own CUDA kernels, 16 bits in the four finest resolutions). Each kind of step, with and
without penalties, is timed in turns; the mean over 16 steps is what is shown.

The grouped form (each image's own weights, one group per image, as in rosinality's stylegan2-pytorch) is rebuilt here
on the same networks; its second derivatives are torch's own.

On a CPU: ``--sizes 16 --width 8 --batch 4``, eager steps alone.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from benchmarks.interleave import RESULTS, hardware
from lightning_gen.contracts import AdversarialTraining
from lightning_gen.contracts.alternation import frozen, weighted_sum
from lightning_gen.files import write_json
from lightning_gen.images import ImageSpec
from lightning_gen.models.stylegan2 import StyleGAN2
from lightning_gen.nets.gan.augment import AdaptiveAugment
from lightning_gen.nets.gan.filters import filtered
from lightning_gen.nets.gan.pipeline import Pipeline
from lightning_gen.nets.gan.style_discriminator import StyleDiscriminator
from lightning_gen.nets.gan.style_generator import StyleGenerator, _Layer
from lightning_gen.nets.gan.style_layers import ModulatedConv2d, activate
from lightning_gen.training.capture import make_capturable

#: seconds per 1,000 images in the README of NVlabs/stylegan2-ada-pytorch
PUBLISHED = {128: {"A100": 6.79, "V100": 12.5}, 256: {"A100": 12.53, "V100": 20.8}}
#: due penalties of a step, (R1, path length), and how many of 16 steps are such
KINDS = {(True, True): 1, (False, True): 3, (False, False): 12}


class Steps:
    """One model that trains on one batch.

    Args:
        side: pixels.
        width: channels at full resolution.
        batch: images.
        grouped: modulated convolutions in their grouped form.
        device: where.
    """

    def __init__(self, side: int, width: int, batch: int, grouped: bool, device: torch.device) -> None:
        torch.manual_seed(0)
        spec = ImageSpec(3, side, side)
        adam = partial(torch.optim.Adam, lr=2.5e-3, betas=(0.0, 0.99), fused=device.type == "cuda")
        self.module = StyleGAN2(
            spec,
            partial(StyleGenerator, layers=2, width=width),
            partial(StyleDiscriminator, width=width),
            AdversarialTraining(adam, adam),
            augment=AdaptiveAugment([Pipeline()]),
        ).to(device, memory_format=torch.channels_last)
        self.module.augment.probability.fill_(0.3)  # type: ignore[union-attr,operator]
        self.optimizers = dict(zip(("generator", "discriminator"), self.module.configure_optimizers(), strict=True))
        image = torch.randint(256, (batch, *spec.shape), dtype=torch.uint8, device=device)
        self.batch, self.grouped, self.device = {"image": image}, grouped, device
        self.average = [p.detach().clone() for p in self.module.generator.parameters()]
        self.graphs: dict[tuple[bool, bool], Any] = {}

    def eager(self, kind: tuple[bool, bool]) -> None:
        """One step; with R1 and path length where `kind` says so."""
        with _grouped_form() if self.grouped else nullcontext():
            for player, due in zip(("discriminator", "generator"), kind, strict=True):
                self._learn(player, due)
            live = [p.detach() for p in self.module.generator.parameters()]
            torch._foreach_lerp_(self.average, live, 0.001)

    def _learn(self, player: Any, due: bool) -> None:
        module = self.module
        losses = module.discriminator_losses if player == "discriminator" else module.generator_losses
        with frozen(module.generator if player == "discriminator" else module.discriminator):
            with torch.autocast(self.device.type, torch.bfloat16):
                loss, _ = weighted_sum(losses(self.batch), {})
            self._descend(player, loss)
            module.steps_made[player] = 1 if due else 2  # the first step has its penalty, the second has none
            if due:
                self._descend(player, weighted_sum(module.regularization(player, self.batch), {})[0])

    def _descend(self, player: Any, loss: Tensor) -> None:
        loss.backward()
        self.optimizers[player].step()
        self.optimizers[player].zero_grad()

    def capture(self) -> None:
        """Record each kind of step as a CUDA graph."""
        for optimizer in self.optimizers.values():
            make_capturable(optimizer, self.device)
        pool = torch.cuda.graph_pool_handle()
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for kind in KINDS:
                self.eager(kind)
        torch.cuda.synchronize()
        for kind in KINDS:
            self.graphs[kind] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graphs[kind], pool=pool):
                self.eager(kind)

    def captured(self, kind: tuple[bool, bool]) -> None:
        self.graphs[kind].replay()


@contextmanager
def _grouped_form() -> Iterator[None]:
    """Inside, modulated convolutions scale the weights of each image, and noise, bias and activation are plain."""
    kept = ModulatedConv2d.forward, _Layer.forward
    ModulatedConv2d.forward, _Layer.forward = _grouped, _plain_layer  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        ModulatedConv2d.forward, _Layer.forward = kept  # type: ignore[method-assign]


def _grouped(self: ModulatedConv2d, x: Tensor, w: Tensor) -> Tensor:
    count, channels, height, width = x.shape
    weight = self.scale * self.weight * self.affine(w)[:, None, :, None, None]  # (B, O, I, k, k)
    if self.demodulate:
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    rows = x.reshape(1, count * channels, height, width)
    if self.up:
        y = conv_transpose2d(rows, weight.transpose(1, 2).flatten(0, 1).to(x.dtype), stride=2, groups=count)
        y = y.view(count, -1, *y.shape[2:])
        return filtered(y, 4.0 * self.kernel, padding=1)
    y = conv2d(rows, weight.flatten(0, 1).to(x.dtype), padding=self.side // 2, groups=count)
    return y.view(count, -1, height, width)


def _plain_layer(self: Any, x: Tensor, w: Tensor, drawn: bool, source: Any) -> Tensor:
    x = self.conv(x, w)
    noise = self._noise(len(x), source) if drawn else self.fixed
    return activate(x + (self.strength * noise).to(x.dtype) + self.bias[:, None, None].to(x.dtype))


def timed(cases: dict[str, Callable[[Any], None]], seconds: float) -> dict[str, dict[str, float]]:
    """Median seconds of a step of each case and kind, in turns for so many seconds, three rounds at least."""
    found: dict[str, dict[Any, list[float]]] = {name: {kind: [] for kind in KINDS} for name in cases}
    end = time.perf_counter() + seconds
    for round_ in range(-1, 10_000):
        for name, step in cases.items():
            for kind in KINDS:
                _wait()
                began = time.perf_counter()
                step(kind)
                _wait()
                if round_ >= 0:
                    found[name][kind].append(time.perf_counter() - began)
        if round_ >= 2 and time.perf_counter() > end:
            break
    shown = {}
    for name, rows in found.items():
        each = {kind: median(times) for kind, times in rows.items()}
        names = {(True, True): "both_penalties", (False, True): "path_length", (False, False): "plain"}
        shown[name] = {names[kind]: value for kind, value in each.items()} | {"rounds": len(rows[True, True])}
        shown[name]["mean"] = sum(each[kind] * share for kind, share in KINDS.items()) / 16
    return shown


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def size(side: int, width: int, batch: int, seconds: float, device: torch.device, grouped: bool) -> dict[str, Any]:
    """All cases at one size: seconds per 1,000 images."""
    forms = {"shared": False, "grouped": True} if grouped else {"shared": False}
    models = {name: Steps(side, width, batch, form, device) for name, form in forms.items()}
    cases: dict[str, Callable[[Any], None]] = {f"{name}_eager": model.eager for name, model in models.items()}
    if device.type == "cuda":
        for name, model in models.items():
            model.capture()
            cases[f"{name}_captured"] = model.captured
    found = timed(cases, seconds)
    for row in found.values():
        row["seconds_per_1000"] = 1000 * row["mean"] / batch
    memory = {"memory_gb": torch.cuda.max_memory_allocated() / 1e9} if device.type == "cuda" else {}
    return {"side": side, "width": width, "batch": batch, "cases": found, "published": PUBLISHED.get(side), **memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256], help="pixels (128 256)")
    parser.add_argument("--width", type=int, help="channels at full resolution (16384 / side)")
    parser.add_argument("--batch", type=int, help="images (4096 / side, at most 32)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each size, roughly (20)")
    parser.add_argument("--no-grouped", action="store_true", help="leave the grouped form out")
    parser.add_argument("--out", type=Path, default=RESULTS / "stylegan2.json")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, Any] = {"hardware": hardware(), "torch": torch.__version__, "sizes": []}
    for side in options.sizes:
        width = options.width or 16384 // side
        batch = options.batch or max(1, min(32, 4096 // side))
        found["sizes"].append(size(side, width, batch, options.seconds, device, not options.no_grouped))
        write_json(options.out, found)
        for name, row in found["sizes"][-1]["cases"].items():
            print(f"{side}x{side} {name}: {row['seconds_per_1000']:.2f} s per 1,000 images", flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
