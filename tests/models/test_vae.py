"""VAEs: the bound against exact evidence, Monte Carlo against closed forms, posteriors that look at the image."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from lightning_gen.bijections.maf import MaskedAutoregressiveFlow
from lightning_gen.bijections.neural_spline import RationalQuadratic
from lightning_gen.bijections.planar import PlanarFlow, RadialFlow
from lightning_gen.bijections.realnvp import VectorRealNVP
from lightning_gen.bijections.sylvester import Householder, SylvesterFlow, Triangular
from lightning_gen.distributions.likelihoods import DiscretizedGaussian
from lightning_gen.distributions.posteriors import FlowPosterior, GaussianPosterior, gaussian_log_prob
from lightning_gen.distributions.priors import FlowPrior, MixturePrior, StandardNormal, VampPrior
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.losses.evidence import Beta, FreeBits, ImportanceWeighted
from lightning_gen.models.vae import VAE
from lightning_gen.nets.condition import Label
from lightning_gen.nets.flow.conditioner import MLPConditioner
from lightning_gen.nets.flow.made import MADE
from lightning_gen.nets.vae.convolutional import (
    Encoder,
    ResidualEncoder,
)
from lightning_gen.nets.vae.mlp import MLPDecoder, MLPEncoder

MLP, MASKED = partial(MLPConditioner, width=16), partial(MADE, width=16)
IAF = partial(MaskedAutoregressiveFlow, net=MASKED)
FLOWS = {
    "planar": partial(PlanarFlow, layers=2),
    "radial": partial(RadialFlow, layers=2),
    "sylvester, orthogonal": partial(SylvesterFlow, layers=2),
    "sylvester, householder": partial(SylvesterFlow, layers=2, basis=Householder),
    "sylvester, triangular": partial(SylvesterFlow, layers=2, basis=Triangular),
    "iaf": IAF,
    "coupling": partial(VectorRealNVP, conditioner=MLP),
    "spline": partial(VectorRealNVP, conditioner=MLP, univariate=RationalQuadratic),
}
POSTERIORS = {"gaussian": GaussianPosterior} | {name: partial(FlowPosterior, flow=flow) for name, flow in FLOWS.items()}
PRIORS = {
    "standard": StandardNormal,
    "mixture": partial(MixturePrior, components=3),
    "vamp": partial(VampPrior, components=3),
    "flow": partial(FlowPrior, flow=IAF),
}
SPEC = ImageSpec(1, 4, 4, 17, classes=3)


def _vae(spec=SPEC, posterior=GaussianPosterior, latent_dim=2, spread=0.3, **arguments):
    torch.manual_seed(0)
    encoder, decoder = partial(MLPEncoder, features=16), partial(MLPDecoder, width=16)
    vae = VAE(spec, encoder, decoder, posterior, torch.optim.Adam, latent_dim=latent_dim, **arguments)
    for parameter in vae.parameters():  # heads that start at zero would make the tests trivial
        nn.init.normal_(parameter, 0.0, spread)
    return vae.eval()


def _images(n, spec=SPEC):
    shape = (n, *spec.shape)
    return torch.randint(spec.levels, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class _Pixels(Encoder):
    features = 4

    def forward(self, x):
        return x.flatten(1)


class _Linear(nn.Module):
    """Mean W z and a constant log-scale for every pixel of a 2x2 image."""

    def __init__(self, weight, log_scale):
        super().__init__()
        self.register_buffer("weight", weight)
        self.log_scale = log_scale

    def forward(self, z):
        mean = (z @ self.weight.T).view(-1, 1, 2, 2)
        return torch.cat([mean, torch.full_like(mean, self.log_scale)], 1)


class _LinearGaussian:
    """x = W z + 0.2 e with known evidence and known posterior; pixels of 256 levels are fine bins of it."""

    def __init__(self, weight, posterior=GaussianPosterior):
        self.weight, self.variance = weight, 0.04
        self.spec = ImageSpec(1, 2, 2, 256)
        decoder = _Linear(weight, 0.5 * math.log(self.variance))
        torch.manual_seed(0)
        self.vae = VAE(
            self.spec,
            lambda spec: _Pixels(),
            lambda spec, z, out: decoder,
            posterior,
            torch.optim.Adam,
            DiscretizedGaussian,
            latent_dim=2,
        )
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(500, 2, generator=generator) @ weight.T + 0.2 * torch.randn(500, 4, generator=generator)
        self.image = ((x + 1) * 127.5).round().clamp(1, 254).to(torch.uint8).view(-1, 1, 2, 2)

    def evidence(self):
        covariance = self.weight @ self.weight.T + self.variance * torch.eye(4)
        density = torch.distributions.MultivariateNormal(torch.zeros(4), covariance)
        return density.log_prob(to_signed(self.image, 256).flatten(1)) + 4 * math.log(2 / 255)

    def precision(self):
        return torch.eye(2) + self.weight.T @ self.weight / self.variance

    def set_exact(self):
        """The true posterior is linear in the pixels; its covariance is diagonal where the columns are orthogonal."""
        covariance = self.precision().inverse()
        head = self.vae.posterior.head
        with torch.no_grad():
            head.weight[:2], head.weight[2:] = covariance @ self.weight.T / self.variance, 0.0
            head.bias[:2], head.bias[2:] = 0.0, 0.5 * covariance.diagonal().log()


ORTHOGONAL = torch.tensor([[0.2, 0.1], [0.1, -0.2], [0.2, 0.1], [0.1, -0.2]])
OBLIQUE = torch.tensor([[0.3, 0.25], [0.1, 0.2], [0.2, 0.1], [0.2, 0.25]])


@torch.no_grad()
def _importance_weighted(vae, image, k):
    logs = torch.stack([vae.log_prob(image).double() for _ in range(k)])
    return (logs.logsumexp(0) - math.log(k)).mean().item()


def test_with_the_true_posterior_every_draw_of_the_bound_is_the_exact_evidence():
    model = _LinearGaussian(ORTHOGONAL)
    model.set_exact()
    with torch.no_grad():
        torch.testing.assert_close(model.vae.log_prob(model.image), model.evidence(), atol=5e-3, rtol=0)


def test_with_another_posterior_the_gap_is_the_kl_divergence_and_importance_weights_close_it():
    model = _LinearGaussian(ORTHOGONAL)
    model.set_exact()
    with torch.no_grad():
        model.vae.posterior.head.bias[2:] += 0.4
    exact = model.evidence().double().mean().item()
    gap = 2 * (0.5 * math.exp(0.8) - 0.5 - 0.4)  # KL(N(0, e^0.8) || N(0, 1)) of each of two latents
    bounds = {k: _importance_weighted(model.vae, model.image, k) for k in (1, 4, 16, 64, 1024)}
    assert bounds[1] == pytest.approx(exact - gap, abs=0.06)
    assert all(a <= b for a, b in zip(bounds.values(), list(bounds.values())[1:], strict=False)), bounds
    assert bounds[1024] == pytest.approx(exact, abs=5e-3)


def test_a_flow_closes_the_gap_that_a_diagonal_gaussian_cannot():
    """The true posterior has correlated entries; the best diagonal Gaussian of reverse KL has its precision's
    diagonal."""
    model = _LinearGaussian(OBLIQUE, partial(FlowPosterior, flow=partial(IAF, layers=1)))
    precision = model.precision()
    smallest = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision)).item()
    optimizer = torch.optim.Adam(model.vae.posterior.parameters(), 0.02)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 400)
        optimizer.zero_grad()
        (-model.vae.log_prob(model.image)).mean().backward()
        optimizer.step()
    gap = (model.evidence().mean() - _importance_weighted(model.vae, model.image, 1)).item()
    assert smallest > 0.4
    assert -0.02 < gap < 0.1 * smallest


@torch.no_grad()
def test_kl_by_monte_carlo_agrees_with_the_closed_form():
    vae, image = _vae(), _images(3)
    mean, log_scale = vae.posterior.gaussian(vae.encoder(to_signed(image, 17)))
    exact = (0.5 * (mean.square() + (2 * log_scale).exp() - 1) - log_scale).sum(1)
    draws = vae.terms(image.repeat(5000, 1, 1, 1))[1].view(5000, 3)
    assert ((draws.mean(0) - exact).abs() < 5 * draws.std(0) / math.sqrt(5000)).all()


@torch.no_grad()
@pytest.mark.parametrize("name", POSTERIORS)
def test_the_density_of_a_posterior_is_normalised_and_changes_with_the_image(name):
    vae, (a, b) = _vae(posterior=POSTERIORS[name], spread=0.2), _images(2)
    features = vae.encoder(to_signed(torch.stack([a, b]), 17))
    z, log_q = vae.posterior.rsample(features.repeat(20000, 1))
    # The mean of p/q over q is 1 for every density p that q covers.
    ratio = (gaussian_log_prob(z, 0.0, -0.7) - log_q).exp().view(-1, 2)
    assert ((ratio.mean(0) - 1).abs() < 5 * ratio.std(0) / math.sqrt(20000)).all()
    mean = z.view(-1, 2, 2).mean(0)
    assert not torch.allclose(mean[0], mean[1], atol=0.02)
    code = vae.encode(torch.stack([a, b]))
    assert not torch.allclose(code[0], code[1])


@torch.no_grad()
@pytest.mark.parametrize("name", FLOWS)
def test_the_flow_itself_changes_with_the_image_not_only_its_base(name):
    posterior = POSTERIORS[name](16, 2)
    torch.manual_seed(0)
    for parameter in posterior.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    z0 = torch.randn(1, 2)
    (a, log_a), (b, log_b) = (posterior.flow(z0, torch.randn(1, 16)) for _ in range(2))
    assert not torch.allclose(a, b)
    assert not torch.allclose(log_a, log_b)


@torch.no_grad()
@pytest.mark.parametrize("prior", PRIORS)
def test_total_probability_is_one(prior):
    """The importance-weighted estimate is unbiased, so its sum over all images of a world of two pixels is 1."""
    spec = ImageSpec(1, 1, 2, 3)
    vae = _vae(spec, prior=PRIORS[prior], posterior=GaussianPosterior, spread=0.2)
    world = torch.cartesian_prod(torch.arange(3), torch.arange(3)).to(torch.uint8).view(-1, 1, 1, 2)
    p = vae.log_prob(world.repeat(20000, 1, 1, 1)).double().exp().view(-1, 9)
    assert (p.sum(1).mean() - 1).abs() < 5 * p.sum(1).std() / math.sqrt(len(p))


@torch.no_grad()
@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_normalised_and_its_draws_follow_it(name):
    vae = _vae(prior=PRIORS[name], spread=0.25)
    side = torch.linspace(-9, 9, 300)
    points = torch.cartesian_prod(side, side)
    mass = vae.prior.log_prob(points).double().exp() * (18 / 299) ** 2
    assert mass.sum().item() == pytest.approx(1.0, abs=0.01)
    drawn = vae.draw_prior(20000, generator=torch.Generator().manual_seed(1)).double()
    mean = (mass[:, None] * points).sum(0)
    second = (mass[:, None] * points.square()).sum(0)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.square().mean(0), second, atol=0.1, rtol=0.05)


def test_the_vamp_prior_is_the_mean_of_the_posteriors_of_its_pseudo_images():
    vae = _vae(prior=PRIORS["vamp"], spread=0.4)
    assert not any(key.startswith("prior.encoder") for key in vae.state_dict()), "weights twice in the checkpoint"
    mean, log_scale = vae.posterior.gaussian(vae.encoder(vae.prior.image.tanh()))
    z = torch.randn(4, 2)
    each = torch.stack([gaussian_log_prob(z, m, s) for m, s in zip(mean, log_scale, strict=True)])
    torch.testing.assert_close(vae.prior.log_prob(z), each.logsumexp(0) - math.log(3))


@torch.no_grad()
def test_a_condition_reaches_encoder_decoder_and_prior():
    vae = _vae(condition=partial(Label, features=4), prior=PRIORS["flow"], posterior=POSTERIORS["iaf"])
    assert vae.condition_keys == ("label",)
    image, label = _images(2), torch.tensor([0, 1])
    other = {"label": 1 - label}
    assert not torch.allclose(vae.encode(image, {"label": label}), vae.encode(image, other))
    z = torch.randn(2, 2)
    assert not torch.equal(
        vae.decoder(torch.cat([z, vae.condition.vector({"label": label})], 1)),
        vae.decoder(torch.cat([z, vae.condition.vector(other)], 1)),
    )
    first, second = (vae.sample(2, c, generator=torch.Generator().manual_seed(0)) for c in ({"label": label}, other))
    assert not torch.equal(first, second)
    assert vae.sample(5).shape == (5, 1, 4, 4)
    with pytest.raises(UserError, match="lacks label"):
        vae.log_prob(image)


def test_warm_up_follows_the_images_seen():
    vae, image = _vae(loss=Beta(1.0, warmup=99)), _images(4)
    torch.manual_seed(0)
    early = vae.objective(image)
    vae.images_seen = 1000
    torch.manual_seed(0)
    late = vae.objective(image)
    torch.manual_seed(0)
    log_likelihood, kl = vae.terms(image)
    torch.testing.assert_close(early, 0.01 * kl.sum(1) - log_likelihood)
    torch.testing.assert_close(late, kl.sum(1) - log_likelihood)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _vae(latent_dim=0), "model.latent_dim is 0: want 1 or more"),
        (lambda: _vae(prior=PRIORS["vamp"], posterior=POSTERIORS["iaf"]), "wants GaussianPosterior"),
        (lambda: _vae(prior=PRIORS["vamp"], condition=Label), "VampPrior wants a model without condition"),
        (lambda: _vae(prior=partial(MixturePrior, components=0)), "prior.components is 0: want 1 or more"),
        (lambda: _vae(posterior=POSTERIORS["coupling"], latent_dim=1), "a coupling wants 2 or more"),
        (lambda: PlanarFlow(2, 2, layers=0), "flow.layers is 0: want 1 or more"),
        (lambda: MADE(2, 0, 4, layers=0), "net.layers is 0: want 1 or more"),
        (lambda: Householder(2, 0, reflections=0), "basis.reflections is 0: want 1 or more"),
        (lambda: ResidualEncoder(SPEC, blocks=0), "blocks is 0: want 1 or more"),
        (lambda: MLPEncoder(SPEC, layers=0), "layers is 0: want 1 or more"),
        (lambda: Beta(-1.0), "loss.beta is -1.0: want 0 or more"),
        (lambda: Beta(warmup=-1), "loss.warmup is -1: want 0 or more images"),
        (lambda: FreeBits(-1.0), "loss.nats is -1.0: want 0 or more"),
        (lambda: ImportanceWeighted(0), "loss.k is 0: want 1 or more"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(make, words):
    with pytest.raises(UserError, match=words):
        make()
