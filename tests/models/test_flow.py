"""Flows as models: the density integrates to one, encode and decode are inverse, a reloaded model is the same."""

import subprocess
import sys
from functools import partial

import pytest
import torch

from lightning_gen.bijections.flowpp import MixtureOfLogistics
from lightning_gen.bijections.glow import Glow
from lightning_gen.bijections.maf import MaskedAutoregressiveFlow
from lightning_gen.bijections.neural_spline import RationalQuadratic
from lightning_gen.bijections.nice import NICE
from lightning_gen.bijections.primitives.linear import ActNorm
from lightning_gen.bijections.realnvp import RealNVP
from lightning_gen.bijections.residual import ResidualFlow
from lightning_gen.bijections.tarflow import TarFlow
from lightning_gen.bijections.vectors import VectorFlow
from lightning_gen.distributions.dequantize import Uniform, Variational
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.models.flow import Flow
from lightning_gen.nets.condition import Label, Unconditional
from lightning_gen.nets.flow.conditioner import ConvConditioner, MLPConditioner
from lightning_gen.nets.flow.lipschitz import LipschitzMLP
from lightning_gen.nets.flow.made import MADE
from lightning_gen.nets.flow.patch_transformer import PatchTransformer

CONV = partial(ConvConditioner, width=8, blocks=1)
#: every image flow: (spec) -> bijection
CASES = {
    "nice": partial(NICE, conditioner=partial(MLPConditioner, width=8)),
    "realnvp": partial(RealNVP, conditioner=CONV, couplings=2),
    "glow": partial(Glow, conditioner=CONV, steps=2),
    "rq_nsf": partial(Glow, conditioner=CONV, steps=2, univariate=RationalQuadratic),
    "flowpp": partial(Glow, conditioner=CONV, steps=2, univariate=MixtureOfLogistics),
    "maf": partial(VectorFlow, flow=partial(MaskedAutoregressiveFlow, net=partial(MADE, width=12))),
    "residual": partial(VectorFlow, flow=partial(ResidualFlow, net=partial(LipschitzMLP, width=12), layers=2)),
    "tarflow": partial(TarFlow, net=partial(PatchTransformer, width=8, layers=1, heads=2), layers=2),
}


def _flow(name, spec, condition=Unconditional, dequantization=Uniform, scale=0.05):
    torch.manual_seed(0)
    flow = Flow(spec, CASES[name], torch.optim.Adam, condition, dequantization)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, 0.0, scale)
    for module in flow.modules():  # as if they had seen data
        if isinstance(module, ActNorm):
            module.ready.fill_(True)
            module.is_set = True
    return flow


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 8, 8, 17), (3, 4, 8, 256)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_decode_inverts_encode_and_samples_are_images(name, shape):
    spec = ImageSpec(*shape)
    flow = _flow(name, spec)
    image = torch.randint(spec.levels, (8, *spec.shape), dtype=torch.uint8)
    assert torch.isfinite(flow.log_prob(image)).all()  # in training mode: sets activation norms
    flow.eval()
    z = flow.encode(image)
    assert z.shape == (8, spec.dims)
    assert torch.equal(flow.decode(z), image)
    drawn = flow.sample(5, generator=torch.Generator().manual_seed(0))
    assert (drawn.dtype, drawn.shape) == (torch.uint8, (5, *spec.shape))
    assert int(drawn.max()) < spec.levels


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_total_probability_is_one(name):
    """Over all that a world of four binary pixels can decode to. The logit reaches a little beyond the unit cube, and
    the little mass there belongs to no image, so the 16 images hold just under one. The sum goes over a grid that is
    even on the other side of the logit, where the density is smooth and falls like a Gaussian."""
    spec = ImageSpec(1, 2, 2, 2)
    flow = _flow(name, spec, scale=0.1).eval()
    step, count = 0.65, 19
    y = torch.sigmoid(step * (torch.arange(count) - count // 2))
    slope = step * y * (1 - y) / 0.9
    points = torch.cartesian_prod(*[(y - 0.05) / 0.9] * 4).view(-1, *spec.shape)
    # `density` is that of the level-scaled image, whose unit cube has sides of 2.
    weights = 2**4 * torch.cartesian_prod(*[slope] * 4).double().prod(1)
    mass = torch.cat([flow.density(part).double().exp() for part in points.split(50000)]) * weights
    assert mass.sum().item() == pytest.approx(1.0, abs=3e-3)
    inside = ((points >= 0) & (points < 1)).flatten(1).all(1)
    assert mass[inside].sum().item() < 1.0


@torch.no_grad()
def test_the_bound_lies_below_the_probability():
    """Jensen: the mean of log p(x + u) over u is no more than the logarithm of the mean of p(x + u)."""
    flow, image = _flow("nice", ImageSpec(1, 1, 2, 3)).eval(), torch.tensor([[[[2, 0]]]], dtype=torch.uint8)
    logs = flow.log_prob(image.expand(20000, -1, -1, -1)).double()
    assert logs.mean() < logs.exp().mean().log()


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_a_reloaded_flow_keeps_its_activation_norms(name):
    spec = ImageSpec(1, 8, 8, 17)
    flow, again = _flow(name, spec), _flow(name, spec)
    image = torch.randint(17, (8, *spec.shape), dtype=torch.uint8)
    flow.log_prob(image)
    again.load_state_dict(flow.state_dict())
    again.train().log_prob(image // 4)
    assert torch.equal(flow.eval().encode(image), again.eval().encode(image))


def _train(flow, image, steps=25, condition=None):
    optimizer = torch.optim.Adam(flow.parameters(), 3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        nats = flow.objective(image, condition).mean() / flow.spec.dims
        nats.backward()
        optimizer.step()
    return nats.item()


@pytest.mark.parametrize("name", CASES)
def test_trained_weights_invert_in_32_bits(name):
    spec = ImageSpec(1, 4, 4, 16)
    torch.manual_seed(0)
    flow = Flow(spec, CASES[name], torch.optim.Adam)
    corner = torch.arange(4)[:, None] + torch.arange(4)
    image = (corner + torch.randint(8, (64, 1, 1, 1))).to(torch.uint8)
    before = flow.log_prob(image).mean().item() / -16
    assert _train(flow, image) < before - 0.1
    flow.eval()
    unit = (image + torch.rand(image.shape)) / 16
    with torch.no_grad():
        error = (flow.bijection.inverse(flow.bijection(unit)[0]) - unit).abs().max()
    assert error < 1e-4
    assert torch.equal(flow.reconstruct(image), image)


def test_sampling_before_any_data_is_refused():
    for name in ("realnvp", "glow", "rq_nsf"):
        flow = Flow(ImageSpec(1, 8, 8, 17), CASES[name], torch.optim.Adam).eval()
        with pytest.raises(UserError, match="the flow has seen no data, which sets its activation norms"):
            flow.sample(1)


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_a_label_decides_about_density_and_samples(name):
    spec = ImageSpec(1, 4, 4, 16, classes=3)
    flow = _flow(name, spec, partial(Label, features=4), scale=0.2).eval()
    image = torch.randint(16, (3, 1, 4, 4), dtype=torch.uint8)
    a, b = ({"label": torch.full((3,), label)} for label in (0, 2))
    assert not torch.allclose(flow.encode(image, a), flow.encode(image, b))
    assert torch.equal(flow.decode(flow.encode(image, a), a), image)
    assert flow.sample(5, generator=torch.Generator().manual_seed(0)).shape == (5, 1, 4, 4)
    assert flow.condition_keys == ("label",)


def _variational(spec):
    return Variational(spec, CONV, features=4, couplings=2)


@torch.no_grad()
def test_variational_noise_is_a_density_of_the_unit_cube():
    """log q(u|x) against its own histogram: E_q [1 / q] is the volume of the cube, 1."""
    spec = ImageSpec(1, 1, 2, 4)
    torch.manual_seed(0)
    noise = _variational(spec)
    for p in noise.parameters():
        torch.nn.init.normal_(p, 0.0, 0.15)
    image = torch.tensor([[[[3, 0]]]], dtype=torch.uint8).expand(40000, -1, -1, -1)
    u, log_q = noise(image)
    assert ((u >= 0) & (u < 1)).all()
    low = (u < 0.5).double().flatten(1)
    for corner in ((1, 1), (1, 0), (0, 1), (0, 0)):
        chosen = (low == torch.tensor(corner)).all(1)
        assert (chosen * (-log_q.double()).exp()).mean().item() == pytest.approx(0.25, abs=0.03)


def test_bad_dequantization_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"dequantization\.couplings is 0: want 1 or more"):
        Variational(ImageSpec(1, 4, 4, 2), CONV, couplings=0)


def test_two_processes_hold_the_same_flow(tmp_path):
    """After data-dependent initialisation on different images, and after a resume: parameters, buffers and bits/dim."""
    command = [sys.executable, "-m", "tests.models.flow_processes", str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"two.{rank}") for rank in (0, 1))
    assert first.keys() == second.keys() == {"realnvp", "realnvp, batch norm", "glow"}
    for name, moments in first.items():
        for a, b in zip(moments, second[name], strict=True):
            assert [key for key in a if not torch.equal(a[key], b[key])] == [], name
        assert not torch.equal(moments[0]["bits"], moments[1]["bits"]), name
        assert all(value.all() for key, value in moments[0].items() if key.endswith("ready")), name
