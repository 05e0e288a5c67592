"""Every likelihood: total probability, one distribution behind log_prob, pmf and sample, and finite gradients."""

import itertools
from functools import partial

import pytest
import torch

from lightning_gen.distributions.likelihoods import Bernoulli, Categorical, DiscretizedGaussian, LogisticMixture
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

#: name -> (class, channels, levels)
CASES = {
    "bernoulli": (Bernoulli, 1, 2),
    "bernoulli, colour": (Bernoulli, 3, 2),
    "categorical": (Categorical, 1, 17),
    "categorical, colour": (Categorical, 3, 4),
    "gaussian": (DiscretizedGaussian, 1, 256),
    "gaussian, two levels": (DiscretizedGaussian, 1, 2),
    "gaussian, colour": (DiscretizedGaussian, 3, 4),
    "logistics": (partial(LogisticMixture, mixtures=5), 1, 100),
    "logistics, two levels": (partial(LogisticMixture, mixtures=2), 1, 2),
    "logistics, two channels": (partial(LogisticMixture, mixtures=3), 2, 5),
    "logistics, colour": (partial(LogisticMixture, mixtures=3), 3, 4),
}
EDGES = {"gaussian": DiscretizedGaussian, "logistics": partial(LogisticMixture, mixtures=1)}


def _make(name):
    kind, channels, levels = CASES[name]
    likelihood = kind(ImageSpec(channels, 1, 1, levels))
    raw = torch.randn(1, likelihood.parameters_per_pixel, 1, 1, generator=torch.Generator().manual_seed(0))
    return likelihood, raw


def _world(spec):
    """Every value of one pixel, (levels ** C, C, 1, 1)."""
    rows = list(itertools.product(range(spec.levels), repeat=spec.channels))
    return torch.tensor(rows, dtype=torch.uint8)[:, :, None, None]


@pytest.mark.parametrize("scale", [0.5, 3.0])
@pytest.mark.parametrize("name", CASES)
def test_total_probability_is_one(name, scale):
    likelihood, raw = _make(name)
    world = _world(likelihood.spec)
    log_prob = likelihood.log_prob((scale * raw).expand(len(world), -1, 1, 1), world)
    assert log_prob.shape == (len(world), 1, 1)
    assert log_prob.double().exp().sum().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_log_prob_is_the_product_of_the_channels_pmf(name):
    likelihood, raw = _make(name)
    world = _world(likelihood.spec)
    raw = raw.double().expand(len(world), -1, 1, 1)
    chain = torch.zeros(len(world), dtype=torch.float64)
    for channel in range(likelihood.spec.channels):
        p = likelihood.pmf(raw, world, channel)
        assert p.shape == (len(world), likelihood.spec.levels, 1, 1)
        torch.testing.assert_close(p.sum(1), torch.ones_like(p[:, 0]))
        chain += p[:, :, 0, 0].gather(1, world[:, channel, :, 0].long())[:, 0].log()
    torch.testing.assert_close(likelihood.log_prob(raw, world)[:, 0, 0], chain, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_later_channels_do_not_change_a_channels_pmf(name):
    likelihood, raw = _make(name)
    for channel in range(likelihood.spec.channels):
        own = sum(likelihood.channel_parameters[: channel + 1])
        changed = torch.cat([raw[:, :own], raw[:, own:] + 5.0], 1)
        image = torch.ones(1, likelihood.spec.channels, 1, 1, dtype=torch.uint8)
        other = image.clone()
        other[:, channel:] = 0
        assert torch.equal(likelihood.pmf(raw, image, channel), likelihood.pmf(changed, other, channel))


@pytest.mark.parametrize("name", CASES)
def test_samples_follow_log_prob(name):
    likelihood, raw = _make(name)
    n, spec = 4000, likelihood.spec
    uniform = torch.rand(n, likelihood.draws, 1, 1, generator=torch.Generator().manual_seed(1))
    drawn = likelihood.sample(raw.expand(n, -1, 1, 1), uniform)
    assert drawn.dtype == torch.uint8
    place = torch.tensor([spec.levels**c for c in reversed(range(spec.channels))])
    world = _world(spec)
    frequency = (drawn[:, :, 0, 0].long() @ place).bincount(minlength=len(world)) / n
    p = likelihood.log_prob(raw.expand(len(world), -1, 1, 1), world)[:, 0, 0].double().exp()
    assert ((frequency - p).abs() <= 5 * (p * (1 - p) / n).sqrt() + 1 / n).all()


@pytest.mark.parametrize("name", CASES)
def test_uniforms_at_the_ends_stay_within_the_levels(name):
    likelihood, raw = _make(name)
    for value in (0.0, 1.0 - 2.0**-24):
        uniform = torch.full((1, likelihood.draws, 1, 1), value)
        assert int(likelihood.sample(50 * raw, uniform).max()) < likelihood.spec.levels


def test_each_pixel_is_drawn_from_its_own_parameters():
    likelihood = Categorical(ImageSpec(2, 3, 4, 5))
    wanted = torch.randint(5, (6, 2, 3, 4), generator=torch.Generator().manual_seed(0))
    raw = 50.0 * torch.nn.functional.one_hot(wanted, 5).permute(0, 1, 4, 2, 3).flatten(1, 2)
    assert torch.equal(likelihood.sample(raw, torch.rand(6, 2, 3, 4)).long(), wanted)
    assert torch.equal(likelihood.mode(raw).long(), wanted)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_mode_of_a_gaussian_is_where_its_cumulative_distribution_passes_half(levels):
    likelihood = DiscretizedGaussian(ImageSpec(3, 4, 4, levels))
    raw = 2.0 * torch.randn(4, 6, 4, 4, generator=torch.Generator().manual_seed(0))  # many means beyond the range
    assert torch.equal(likelihood.mode(raw), likelihood.sample(raw, torch.full((4, 3, 4, 4), 0.5)))


def test_low_temperature_draws_the_most_likely_level():
    likelihood, raw = _make("categorical")
    uniform = torch.rand(50, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    drawn = likelihood.sample(raw.expand(50, -1, 1, 1), uniform, temperature=0.01)
    assert (drawn == raw.argmax(1)[:, None]).all()


@pytest.mark.parametrize("size", [10.0, 100.0, 1e4])
@pytest.mark.parametrize("name", CASES)
def test_extreme_parameters_give_finite_values_and_gradients(name, size):
    likelihood, _ = _make(name)
    world = _world(likelihood.spec)
    signs = torch.randint(-1, 2, (20, likelihood.parameters_per_pixel), generator=torch.Generator().manual_seed(0))
    raw = (size * signs)[:, None].expand(-1, len(world), -1).flatten(0, 1)[..., None, None].requires_grad_()
    log_prob = likelihood.log_prob(raw, world.repeat(20, 1, 1, 1))
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert (log_prob <= 1e-4).all()
    assert raw.grad.isfinite().all()


def test_the_gradient_of_a_gaussian_stays_right_in_the_far_tail():
    """d log p / d mean is (x - mean) / scale^2, a distance of 80 deviations."""
    likelihood = DiscretizedGaussian(ImageSpec(1, 1, 1))
    raw = torch.tensor([-0.5, -4.0], dtype=torch.float32).view(1, 2, 1, 1).requires_grad_()
    likelihood.log_prob(raw, torch.full((1, 1, 1, 1), 250, dtype=torch.uint8)).sum().backward()
    # The nearer edge of the bin decides in the tail.
    distance = (249.5 / 127.5 - 1.0) + 0.5
    torch.testing.assert_close(raw.grad[0, 0].item(), distance * torch.tensor(8.0).exp().item(), rtol=0.02, atol=0)


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize(("location", "level"), [(-2.0, 0), (2.0, 255)])
def test_edge_bins_hold_all_mass_beyond_them(name, location, level):
    likelihood = EDGES[name](ImageSpec(1, 1, 1))
    raw = torch.tensor([0.0, location, -3.0][-likelihood.parameters_per_pixel :]).view(1, -1, 1, 1)
    assert likelihood.log_prob(raw, torch.full((1, 1, 1, 1), level, dtype=torch.uint8)).item() > -1e-4


@pytest.mark.parametrize("name", EDGES)
def test_inner_bins_agree_with_a_numerical_integral(name):
    """Location 0.1 and scale e^-1 of half the range, against the density summed over 1,000 points of each bin."""
    likelihood = EDGES[name](ImageSpec(1, 1, 1, 17))
    raw = torch.tensor([0.0, 0.1, -1.0][-likelihood.parameters_per_pixel :], dtype=torch.float64).view(1, -1, 1, 1)
    points = (torch.arange(1, 16)[:, None] - 0.5 + (torch.arange(1000) + 0.5) / 1000).double() / 8 - 1
    standard = (points - 0.1) * torch.tensor(1.0).exp()
    density = torch.sigmoid(standard) * torch.sigmoid(-standard)
    if name == "gaussian":
        density = torch.distributions.Normal(0.0, 1.0).log_prob(standard).exp()
    mass = density.mean(1) * torch.tensor(1.0).exp() / 8
    torch.testing.assert_close(likelihood.pmf(raw, torch.zeros(1, 1, 1, 1), 0)[0, 1:16, 0, 0], mass, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Bernoulli(ImageSpec(1, 1, 1, 17)), "data has 17 levels"),
        (lambda: LogisticMixture(ImageSpec(1, 1, 1), mixtures=0), "likelihood.mixtures is 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(make, words):
    with pytest.raises(UserError, match=words):
        make()
