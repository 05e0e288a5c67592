"""Under autocast a log-probability keeps 32 bits, and the value that it has without; so do the norms of penalties.
Logits are in tests/training/test_every_step.py."""

from functools import partial

import pytest
import torch

from lightning_gen.bijections.maf import MaskedAutoregressiveFlow
from lightning_gen.bijections.sylvester import SylvesterFlow
from lightning_gen.distributions.likelihoods import Bernoulli, Categorical, DiscretizedGaussian, LogisticMixture
from lightning_gen.distributions.posteriors import FlowPosterior, GaussianPosterior
from lightning_gen.distributions.priors import FlowPrior, MixturePrior, StandardNormal, VampPrior
from lightning_gen.images import ImageSpec
from lightning_gen.losses.matching import MatchingPenalty
from lightning_gen.losses.penalties import R1, R2, GradientPenalty, StepCount
from lightning_gen.models.autoregressive import Autoregressive
from lightning_gen.models.hierarchical_vae import HierarchicalVAE
from lightning_gen.models.vae import VAE
from lightning_gen.nets.autoregressive.pixelcnnpp import PixelCNNpp
from lightning_gen.nets.flow.made import MADE
from lightning_gen.nets.gan.dcgan import DCGANDiscriminator
from lightning_gen.nets.gan.spectral import SpectralNorm
from lightning_gen.nets.vae.ladder import Ladder
from lightning_gen.nets.vae.mlp import MLPDecoder, MLPEncoder

SPEC = ImageSpec(1, 4, 4, 17)
PIXELS = partial(PixelCNNpp, width=8, blocks=1)
IAF = partial(MaskedAutoregressiveFlow, net=partial(MADE, width=16))


def _vae(spec=SPEC, posterior=GaussianPosterior, **arguments):
    return VAE(
        spec, partial(MLPEncoder, features=16), MLPDecoder, posterior, torch.optim.Adam, latent_dim=4, **arguments
    )


MODELS = {
    "categorical": _vae,
    "bernoulli": lambda: _vae(ImageSpec(1, 4, 4, 2), likelihood=Bernoulli),
    "gaussian": lambda: _vae(likelihood=DiscretizedGaussian),
    "logistic mixture": lambda: _vae(likelihood=partial(LogisticMixture, mixtures=3)),
    "iaf": lambda: _vae(posterior=partial(FlowPosterior, flow=IAF)),
    "sylvester": lambda: _vae(posterior=partial(FlowPosterior, flow=SylvesterFlow)),
    "mixture prior": lambda: _vae(prior=partial(MixturePrior, components=3)),
    "vamp prior": lambda: _vae(prior=partial(VampPrior, components=3)),
    "flow prior": lambda: _vae(prior=partial(FlowPrior, flow=IAF)),
    "standard prior": lambda: _vae(prior=StandardNormal),
    "hierarchy": lambda: HierarchicalVAE(SPEC, partial(Ladder, width=8), torch.optim.Adam),
    "pixelcnn++": lambda: Autoregressive(SPEC, PIXELS, torch.optim.Adam, LogisticMixture),
    "categorical pixels": lambda: Autoregressive(SPEC, PIXELS, torch.optim.Adam, Categorical),
}


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", MODELS)
def test_a_log_probability_keeps_its_digits(name, dtype):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    image = torch.randint(model.spec.levels, (32, *model.spec.shape), dtype=torch.uint8)
    torch.manual_seed(1)
    whole = model.log_prob(image)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype):
        mixed = model.log_prob(image)
    assert mixed.dtype == torch.float32
    assert ((mixed - whole) / whole).abs().mean() < 0.01, "more than the rounding of the networks"


@pytest.mark.parametrize("penalty", [GradientPenalty(), R1(), R2()], ids=lambda penalty: penalty.name)
def test_the_norm_of_a_penalty_is_that_without_autocast(penalty):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 1))
    real, fake = torch.randn(2, 4, 1, 8, 8)
    found = []
    for mixed in (False, True):
        torch.manual_seed(1)
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            value = penalty.penalty(net, real, fake, StepCount(0, 0))
        value.backward()
        found.append([value, *(p.grad.clone() for p in net.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_norm_of_a_matching_penalty_is_that_without_autocast():
    torch.manual_seed(0)
    maps, words = torch.nn.Conv2d(1, 8, 6), torch.nn.Linear(5, 8)
    image, code = torch.randn(4, 1, 6, 6), torch.randn(4, 5)
    found = []
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            value = MatchingPenalty()(lambda x, t: (maps(x).sigmoid()[:, :, 0, 0] * words(t)).sum(1), image, code)
        found.append(value)
    assert torch.equal(*found)


def test_singular_values_are_computed_without_autocast(monkeypatch):
    """On a GPU it would take the products of the power iteration, `torch.mv`, to 16 bits; on a CPU it leaves them."""
    net, mixed, product = SpectralNorm(ImageSpec(1, 16, 16, 256), partial(DCGANDiscriminator, width=8)), [], torch.mv
    monkeypatch.setattr(torch, "mv", lambda *a: (mixed.append(torch.is_autocast_enabled("cpu")), product(*a))[1])
    with torch.autocast("cpu", torch.bfloat16):
        net(torch.ones(2, 1, 16, 16))
    assert set(mixed) == {False}
