"""Flows beside normflows, nflows, FrEIA and zuko, with matching sizes, float32, one thread.

    python -m benchmarks.flow glow [--repeats 40]         # L = 3, K = 8, width 128, on 3x32x32, batches of 16
    python -m benchmarks.flow vectors [--repeats 40]      # 5 maps of 64 entries, 2 hidden layers of 256, batches of 128
    python -m benchmarks.flow reversible [--repeats 10]   # Glow at K = 4, 8, 16, activations stored or found again

A step is the loss of one batch in memory, backward and Adam. Glow: steps of activation norm, a 1x1 convolution by LU
and an affine coupling with the same 3x3-1x1-3x3 network; ours has its channels last in memory, normflows is timed both
ways. The Gaussian of what leaves a scale is the same for all images in normflows, and in ours a function of what stays,
by one convolution; FrEIA's `AllInOneBlock` has rotations that do not learn, and no factoring out. MAF and
autoregressive NSF have masked networks, coupling NSF has plain ones; splines have 8 bins. normflows trains its
autoregressive maps by the slow pass, so it is left out there; its couplings have residual networks of three hidden
layers, not two.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import FrEIA.framework as frameworks
import FrEIA.modules as blocks
import normflows
import torch
import zuko
from nflows import distributions as nflows_distributions
from nflows import flows as nflows_flows
from nflows import transforms
from torch import Tensor, nn

from benchmarks.flow_peers import glow_of_normflows
from benchmarks.interleave import interleave, record
from benchmarks.training import parameters, training_step
from lightning_gen.bijections.glow import Glow
from lightning_gen.bijections.maf import MaskedAutoregressiveFlow
from lightning_gen.bijections.neural_spline import RationalQuadratic
from lightning_gen.bijections.primitives.reversible import Reversible, Stored
from lightning_gen.bijections.realnvp import VectorRealNVP
from lightning_gen.distributions.posteriors import gaussian_log_prob
from lightning_gen.images import ImageSpec
from lightning_gen.models.flow import Flow
from lightning_gen.nets.flow.conditioner import GlowConditioner, MLPConditioner, ZeroConv
from lightning_gen.nets.flow.made import MADE

SPEC, BATCH, SCALES, STEPS, WIDTH = ImageSpec(3, 32, 32), 16, 3, 8, 128
DIM, ROWS, LAYERS, HIDDEN = 64, 128, 5, 256
step = partial(training_step, rate=1e-4)


def ours(steps: int = STEPS, **more: Any) -> Flow:
    bijection = partial(Glow, conditioner=partial(GlowConditioner, width=WIDTH), scales=SCALES, steps=steps, **more)
    return Flow(SPEC, bijection, torch.optim.Adam).to(memory_format=torch.channels_last)


def glow_of_freia() -> frameworks.SequenceINN:
    def subnet(a: int, b: int) -> nn.Module:
        return GlowConditioner(a, b, WIDTH)

    chain = frameworks.SequenceINN(*SPEC.shape)
    for _ in range(SCALES):
        chain.append(blocks.IRevNetDownsampling)
        for _ in range(STEPS):
            chain.append(blocks.AllInOneBlock, subnet_constructor=subnet, permute_soft=False)
    return chain


def glow(repeats: int) -> None:
    image = torch.randint(SPEC.levels, (BATCH, *SPEC.shape), dtype=torch.uint8)
    flow, peer, other = ours(prior=ZeroConv), glow_of_normflows(STEPS), glow_of_freia()
    last = image.to(memory_format=torch.channels_last)
    peer_last = glow_of_normflows(STEPS).to(memory_format=torch.channels_last)

    def dequantized() -> Tensor:
        return (image + torch.rand(image.shape)) / SPEC.levels

    def freia() -> Tensor:
        z, log_det = other(dequantized())
        return -(gaussian_log_prob(z.flatten(1)) + log_det).mean()

    cases = {
        "ours": step(flow, lambda: -flow.log_prob(last).mean()),
        "normflows": step(peer, lambda: peer.forward_kld(dequantized())),
        "normflows, channels last": step(
            peer_last, lambda: peer_last.forward_kld(dequantized().to(memory_format=torch.channels_last))
        ),
        "FrEIA": step(other, freia),
    }
    sizes = {"ours": flow, "normflows": peer, "FrEIA": other}
    about = {"shape": SPEC.shape, "batch": BATCH, "parameters": {k: parameters(v) for k, v in sizes.items()}}
    record("flow_glow_step", interleave(cases, repeats), "normflows", about)
    for module in sizes.values():
        module.eval()
    with torch.no_grad():
        draws = {
            "ours": lambda: flow.sample(BATCH),
            "normflows": lambda: peer.sample(BATCH),
            "FrEIA": lambda: other(torch.randn(BATCH, *other.shapes[-1]), rev=True),
        }
        record("flow_glow_sample", interleave(draws, repeats), "normflows", about)


class _Vectors(nn.Module):
    """A flow of vectors of ours, as its peers are: log_prob and sample."""

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def log_prob(self, x: Tensor) -> Tensor:
        z, log_det = self.flow(x)
        return gaussian_log_prob(z) + log_det

    def sample(self, n: int) -> Tensor:
        return self.flow.inverse(torch.randn(n, DIM))  # type: ignore[operator]


def _nflows(make: Callable[[int], Any]) -> nn.Module:
    stack = [part for i in range(LAYERS) for part in (make(i), transforms.ReversePermutation(DIM))]
    return nflows_flows.Flow(transforms.CompositeTransform(stack), nflows_distributions.StandardNormal([DIM]))


class _Peer(nn.Module):
    """zuko's lazy flow, as the others are."""

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def log_prob(self, x: Tensor) -> Tensor:
        return self.flow().log_prob(x)

    def sample(self, n: int) -> Tensor:
        return self.flow().sample((n,))


class _Normflows(normflows.NormalizingFlow):
    """normflows' flow, as the others are."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        super().__init__(normflows.distributions.DiagGaussian(DIM, trainable=False), [make(i) for i in range(LAYERS)])

    def sample(self, n: int) -> Tensor:
        return super().sample(n)[0]


def _coupling_net(a: int, b: int) -> nn.Module:
    return nn.Sequential(nn.Linear(a, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, b))


def vector_flows() -> dict[str, dict[str, nn.Module]]:
    """Model -> library -> flow."""
    made, mlp = partial(MADE, width=HIDDEN), partial(MLPConditioner, width=HIDDEN)
    masked = {"hidden_features": HIDDEN, "num_blocks": 1, "use_residual_blocks": False}
    spline = {"num_bins": 8, "tails": "linear", "tail_bound": 4.0}
    hidden, mask = (HIDDEN, HIDDEN), torch.arange(DIM) % 2
    return {
        "maf": {
            "ours": _Vectors(MaskedAutoregressiveFlow(DIM, 0, made, layers=LAYERS)),
            "nflows": _nflows(lambda i: transforms.MaskedAffineAutoregressiveTransform(DIM, **masked)),
            "zuko": _Peer(zuko.flows.MAF(DIM, transforms=LAYERS, hidden_features=hidden)),
        },
        "autoregressive_nsf": {
            "ours": _Vectors(MaskedAutoregressiveFlow(DIM, 0, made, RationalQuadratic, LAYERS)),
            "nflows": _nflows(
                lambda i: transforms.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(DIM, **masked, **spline)
            ),
            "zuko": _Peer(zuko.flows.NSF(DIM, bins=8, transforms=LAYERS, hidden_features=hidden)),
        },
        "coupling_nsf": {
            "ours": _Vectors(VectorRealNVP(DIM, 0, mlp, RationalQuadratic, LAYERS)),
            "nflows": _nflows(
                lambda i: transforms.PiecewiseRationalQuadraticCouplingTransform(
                    (mask + i) % 2, lambda a, b: _Plain(_coupling_net(a, b)), **spline
                )
            ),
            "zuko": _Peer(zuko.flows.NSF(DIM, bins=8, transforms=LAYERS, hidden_features=hidden, passes=2)),
            "normflows": _Normflows(
                lambda i: normflows.flows.CoupledRationalQuadraticSpline(
                    DIM, 1, HIDDEN, num_bins=8, tail_bound=4, reverse_mask=bool(i % 2)
                )
            ),
        },
    }


class _Plain(nn.Module):
    """nflows calls its networks with a context."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.net(x)


def vectors(repeats: int) -> None:
    x = torch.randn(ROWS, DIM)
    for model, flows in vector_flows().items():
        steps = {library: step(flow, partial(_nll, flow, x)) for library, flow in flows.items()}
        about = {"entries": DIM, "batch": ROWS, "layers": LAYERS, "hidden": HIDDEN}
        about |= {"parameters": {library: parameters(flow) for library, flow in flows.items()}}
        record(f"flow_{model}_step", interleave(steps, repeats), "ours", about)
        with torch.no_grad():
            draws = {library: partial(_draw, flow.eval()) for library, flow in flows.items()}
            record(f"flow_{model}_sample", interleave(draws, max(5, repeats // 4), 1), "ours", about)


def _nll(flow: Any, x: Tensor) -> Tensor:
    return -flow.log_prob(x).mean()


def _draw(flow: Any) -> Tensor:
    return flow.sample(ROWS)


def reversible(repeats: int) -> None:
    image = torch.randint(SPEC.levels, (BATCH, *SPEC.shape), dtype=torch.uint8).contiguous(
        memory_format=torch.channels_last
    )
    cases, saved = {}, {}
    for steps in (4, 8, 16):
        for chain in (Stored, Reversible):
            flow, name = ours(steps, chain=chain), f"{chain.__name__}, K = {steps}"
            saved[name] = _saved(flow, image)
            cases[name] = step(flow, lambda flow=flow: -flow.log_prob(image).mean())  # type: ignore[misc]
    seconds, about = interleave(cases, repeats, 1), {"batch": BATCH, "width": WIDTH}
    record("flow_reversible", seconds, f"Stored, K = {STEPS}", about, saved_megabytes=saved)
    print(json.dumps(saved))


def _saved(flow: Flow, image: Tensor) -> float:
    """Megabytes that a forward pass keeps for the backward pass, parameters aside, each storage once."""
    flow.log_prob(image)  # sets activation norms
    own = {p.untyped_storage().data_ptr() for p in flow.parameters()}
    kept: dict[int, int] = {}
    held = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)  # alive, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        flow.log_prob(image).sum()
    return round(sum(kept.values()) / 1e6, 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("question", choices=("glow", "vectors", "reversible"))
    parser.add_argument("--repeats", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    {"glow": glow, "vectors": vectors, "reversible": reversible}[arguments.question](arguments.repeats)
