"""Flows as models: the density integrates to one, encode and decode are inverse, a reloaded model is the same."""

from functools import partial

import pytest
import torch

from lightning_gen.bijections.architectures import NICE, Glow, RealNVP
from lightning_gen.bijections.univariate import RationalQuadratic
from lightning_gen.images import ImageSpec
from lightning_gen.models.flow import Flow
from lightning_gen.nets.conditioner import ConvConditioner, MLPConditioner

CONV = partial(ConvConditioner, width=8, blocks=1)
#: every image flow: (spec) -> bijection
CASES = {
    "nice": partial(NICE, conditioner=partial(MLPConditioner, width=8)),
    "realnvp": partial(RealNVP, conditioner=CONV),
    "glow": partial(Glow, conditioner=CONV, steps=2),
    "rq_nsf": partial(Glow, conditioner=CONV, steps=2, univariate=RationalQuadratic),
}


def _flow(name, spec):
    torch.manual_seed(0)
    flow = Flow(spec, CASES[name], torch.optim.Adam)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.05)
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
def test_total_probability_is_one():
    """Over a fine grid of all that a world of two pixels can decode to: the logit reaches a little beyond the unit
    square, and the little mass there belongs to no image, so the images hold just under one."""
    flow = _flow("nice", ImageSpec(1, 1, 2, 3)).eval()
    beyond = 0.05 / 0.9
    side = -beyond + (1 + 2 * beyond) * (torch.arange(800) + 0.5) / 800
    points = torch.cartesian_prod(side, side).view(-1, 1, 1, 2)
    # `density` is that of the level-scaled image, whose unit square is 3 x 3.
    mass = 9 * flow.density(points).double().exp() * (1 + 2 * beyond) ** 2 / len(points)
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-3)
    inside = ((points >= 0) & (points < 1)).flatten(1).all(1)
    assert 0.98 < mass[inside].sum().item() < 1.0


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
