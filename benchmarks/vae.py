"""One training step of a VAE, with and without an inverse autoregressive flow, beside pythae's: the same encoder and
decoder, the same layers in the flow, Bernoulli pixels, Adam. pythae's flow has parameters that do not depend on the
image; ours has them from the encoder, which is more work.

    python -m benchmarks.vae [--batch 128] [--repeats 60]
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from pythae.models import VAE as PEER_VAE
from pythae.models import VAE_IAF, VAE_IAF_Config, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn

from benchmarks.interleave import interleave, record
from lightning_gen.bijections.architectures import AutoregressiveStack
from lightning_gen.distributions.likelihoods import Bernoulli
from lightning_gen.distributions.posteriors import FlowPosterior, GaussianPosterior
from lightning_gen.images import ImageSpec
from lightning_gen.models.vae import VAE
from lightning_gen.nets.dense import MLPDecoder, MLPEncoder
from lightning_gen.nets.made import MADE

SPEC, LATENT = ImageSpec(1, 28, 28, 2), 32
BLOCKS, HIDDEN, WIDTH = 2, 3, 128


class _Encoder(BaseEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.body = MLPEncoder(SPEC)
        self.mean, self.log_variance = (nn.Linear(self.body.features, LATENT) for _ in range(2))

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.body(x)
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class _Decoder(BaseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self.body = MLPDecoder(SPEC, LATENT, 1)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.body(z).sigmoid())


def _ours(posterior: Callable, image: Tensor) -> Callable[[], None]:
    model = VAE(SPEC, MLPEncoder, MLPDecoder, posterior, torch.optim.Adam, Bernoulli, latent_dim=LATENT)
    return _step(model, lambda: model.objective(image).mean())


def _peer(model: nn.Module, image: Tensor) -> Callable[[], None]:
    batch = {"data": image.float()}
    return _step(model, lambda: model(batch).loss)


def _step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    print(f"{type(model).__module__.split('.')[0]} {type(model).__name__}: {_count(model):,} parameters")

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=60)
    options = parser.parse_args()
    torch.manual_seed(0)
    image = torch.randint(2, (options.batch, *SPEC.shape), dtype=torch.uint8)
    sizes = {"input_dim": SPEC.shape, "latent_dim": LATENT, "reconstruction_loss": "bce"}
    made = {"n_made_blocks": BLOCKS, "n_hidden_in_made": HIDDEN, "hidden_size": WIDTH}
    iaf = partial(AutoregressiveStack, net=partial(MADE, width=WIDTH, layers=HIDDEN), layers=BLOCKS)
    pairs = {
        "vae": (GaussianPosterior, PEER_VAE(VAEConfig(**sizes), _Encoder(), _Decoder())),
        "vae_iaf": (partial(FlowPosterior, flow=iaf), VAE_IAF(VAE_IAF_Config(**sizes, **made), _Encoder(), _Decoder())),
    }
    for name, (posterior, peer) in pairs.items():
        cases = {"lightning-gen": _ours(posterior, image), "pythae": _peer(peer, image)}
        seconds = interleave(cases, options.repeats)
        rates = {case: round(options.batch / sorted(times)[len(times) // 2]) for case, times in seconds.items()}
        print(", ".join(f"{case} {rate:,} img/s" for case, rate in rates.items()))
        record(name, seconds, "pythae", {"batch": options.batch, "latent_dim": LATENT, "images_per_second": rates})


if __name__ == "__main__":
    main()
