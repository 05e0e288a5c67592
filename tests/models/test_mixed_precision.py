"""Under autocast a log-probability keeps 32 bits, and the value that it has without."""

from functools import partial

import pytest
import torch

from lightning_gen.bijections.maf import MaskedAutoregressiveFlow
from lightning_gen.bijections.sylvester import SylvesterFlow
from lightning_gen.distributions.likelihoods import Bernoulli, Categorical, DiscretizedGaussian, LogisticMixture
from lightning_gen.distributions.posteriors import FlowPosterior, GaussianPosterior
from lightning_gen.distributions.priors import FlowPrior, MixturePrior, StandardNormal, VampPrior
from lightning_gen.images import ImageSpec
from lightning_gen.models.autoregressive import Autoregressive
from lightning_gen.models.hierarchical_vae import HierarchicalVAE
from lightning_gen.models.vae import VAE
from lightning_gen.nets.autoregressive.pixelcnnpp import PixelCNNpp
from lightning_gen.nets.flow.made import MADE
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
