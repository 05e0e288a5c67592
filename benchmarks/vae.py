"""Training a VAE, with and without an inverse autoregressive flow as posterior, beside pythae: the same encoder and
decoder (the same classes), the same layers in the flow, Bernoulli pixels, Adam, batches of 128 in float32.

    python -m benchmarks.vae steps [--repeats 200]     # a bare step: loss, backward, Adam, on one batch in memory
    python -m benchmarks.vae fits [--repeats 9]        # a whole fit by each: `lightning-gen fit`, BaseTrainer

pythae's flow has parameters that do not depend on the image. Ours has them from the encoder (`amortised`), which is
more work; `matched` is ours with pythae's sizes, its flow without context. In `fits` each side does what it does by
default: ours shuffles, logs, and follows an average of the weights; pythae shuffles, shows its bar, and keeps a copy of
the best model of every epoch. Its images are float already, ours bytes. The first epoch does not count, nor the last,
at whose end ours draws samples and writes a checkpoint. Time is the processor's, on one thread: other jobs on the
machine disturb it less.
"""

import argparse
import contextlib
import importlib
import io
import json
import logging
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from pythae.data.datasets import BaseDataset
from pythae.models import VAE as PEER_VAE
from pythae.models import VAE_IAF, VAE_IAF_Config, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from benchmarks.interleave import interleave, record
from benchmarks.training import parameters, training_step
from lightning_gen.bijections.base import Bijection
from lightning_gen.bijections.maf import MaskedAutoregressiveFlow
from lightning_gen.contracts import Split
from lightning_gen.data.memory import MemoryImages
from lightning_gen.data.rows import Column
from lightning_gen.distributions.likelihoods import Bernoulli
from lightning_gen.distributions.posteriors import FlowPosterior, GaussianPosterior, Posterior
from lightning_gen.files import write_text
from lightning_gen.images import ImageSpec
from lightning_gen.models.vae import VAE
from lightning_gen.nets.flow.made import MADE
from lightning_gen.nets.vae.mlp import MLPDecoder, MLPEncoder
from lightning_gen.training.fit import main as fit

SPEC, LATENT, BATCH = ImageSpec(1, 28, 28, 2), 32, 128
BLOCKS, HIDDEN, WIDTH = 2, 3, 128
IMAGES, EPOCHS = 1280, 12


class Coins(MemoryImages):
    """Pictures of heads and tails, 28x28: how fast a model trains does not depend on what it sees."""

    @property
    def spec(self) -> ImageSpec:
        return SPEC

    @property
    def name(self) -> str:  # type: ignore[override]
        return "coins"

    def load(self) -> dict[Split, dict[str, Column]]:
        counts: dict[Split, int] = {"train": IMAGES, "val": 1, "test": 1}
        return {split: {"image": _coins(count)} for split, count in counts.items()}


def _coins(count: int) -> Tensor:
    shape = (count, *SPEC.shape)
    return torch.randint(2, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def stack(dim: int, context_dim: int) -> Bijection:
    """The flow of the comparison: `BLOCKS` MADEs of `HIDDEN` layers."""
    return MaskedAutoregressiveFlow(dim, context_dim, partial(MADE, width=WIDTH, layers=HIDDEN), layers=BLOCKS)


class Matched(Posterior):
    """pythae's posterior: a Gaussian pushed through a flow that is the same for every image."""

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.base, self.flow = GaussianPosterior(features, latent_dim), stack(latent_dim, 0)

    def rsample(self, features: Tensor) -> tuple[Tensor, Tensor]:
        z0, log_q0 = self.base.rsample(features)
        z, log_det = self.flow(z0)
        return z, log_q0 - log_det

    def mean(self, features: Tensor) -> Tensor:
        return self.flow(self.base.mean(features))[0]


class Amortised(FlowPosterior):  # type: ignore[misc]
    """The project's: the flow sees the image."""

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__(features, latent_dim, stack)


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


def _peer(iaf: bool) -> nn.Module:
    sizes: dict[str, Any] = {"input_dim": SPEC.shape, "latent_dim": LATENT, "reconstruction_loss": "bce"}
    if not iaf:
        return PEER_VAE(VAEConfig(**sizes), _Encoder(), _Decoder())
    made = {"n_made_blocks": BLOCKS, "n_hidden_in_made": HIDDEN, "hidden_size": WIDTH}
    return VAE_IAF(VAE_IAF_Config(**sizes, **made), _Encoder(), _Decoder())


#: name -> our cases, each with its posterior, and whether the peer has a flow
QUESTIONS: dict[str, tuple[dict[str, type[Posterior]], bool]] = {
    "vae": ({"lightning-gen": GaussianPosterior}, False),
    "vae_iaf": ({"lightning-gen, matched": Matched, "lightning-gen, amortised": Amortised}, True),
}


def _steps(repeats: int) -> None:
    image = _coins(BATCH)
    batch = {"data": image.float()}
    for name, (ours, iaf) in QUESTIONS.items():
        peer = _peer(iaf)
        models: dict[str, nn.Module] = {"pythae": peer}
        cases = {"pythae": training_step(peer, lambda peer=peer: peer(batch).loss)}
        for case, posterior in ours.items():
            model = VAE(SPEC, MLPEncoder, MLPDecoder, posterior, torch.optim.Adam, Bernoulli, latent_dim=LATENT)
            models[case] = model
            cases[case] = training_step(model, lambda model=model: model.to_bits(model.objective(image).mean()))
        seconds = interleave(cases, repeats, warmup=10)
        about = {"batch": BATCH, "latent_dim": LATENT, "parameters": {k: parameters(v) for k, v in models.items()}}
        record(f"{name}_step", seconds, "pythae", about | _rates(seconds, BATCH))


def _fits(repeats: int) -> None:
    logging.getLogger("pythae").setLevel(logging.ERROR)
    for name, (ours, iaf) in QUESTIONS.items():
        spent: dict[str, list[float]] = {}
        cases = {"pythae": partial(_fit_peer, iaf), **{case: partial(_fit, p) for case, p in ours.items()}}

        def kept(case: str, call: Callable[[], float], spent: dict[str, list[float]] = spent) -> None:
            spent.setdefault(case, []).append(call())

        interleave({case: partial(kept, case, call) for case, call in cases.items()}, repeats, warmup=1)
        seconds = {case: times[1:] for case, times in spent.items()}
        counted = (EPOCHS - 2) * IMAGES
        record(f"{name}_fit", seconds, "pythae", {"batch": BATCH, "images": counted, **_rates(seconds, counted)})


def _fit(posterior: type[Posterior]) -> float:
    """Seconds of all epochs but the first and last by `lightning-gen fit`."""
    net, where = "lightning_gen.nets.vae.mlp.MLP", f"{posterior.__module__}.{posterior.__name__}"
    model = {
        "latent_dim": LATENT,
        "encoder": {"class_path": f"{net}Encoder"},
        "decoder": {"class_path": f"{net}Decoder"},
        "likelihood": {"class_path": "lightning_gen.distributions.likelihoods.Bernoulli"},
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
        "posterior": {"class_path": where.replace("__main__", "benchmarks.vae")},
    }
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        config = {
            "data": {"class_path": "benchmarks.vae.Coins", "init_args": {"batch_size": BATCH}},
            "run": {"root": folder, "name": "run", "images": IMAGES * EPOCHS},
            "evaluation": {"samples": 0},
            "model": {"class_path": "lightning_gen.models.vae.VAE", "init_args": model},
            "trainer": {"accelerator": "cpu", "callbacks": [{"class_path": "benchmarks.vae.Epochs"}]},
        }
        write_text(Path(folder) / "config.yaml", json.dumps(config))
        importlib.import_module(
            "benchmarks.vae"
        ).Epochs.ends.clear()  # the class that the configuration names, not that of __main__
        fit(["-c", f"{folder}/config.yaml"])
    ends = importlib.import_module("benchmarks.vae").Epochs.ends
    return ends[-2] - ends[0]


class Epochs(Callback):
    """Processor time at the end of each epoch of ours."""

    ends: ClassVar[list[float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ends.append(time.process_time())


class _PeerEpochs(TrainingCallback):
    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_epoch_end(self, training_config: Any, **kwargs: Any) -> None:
        self.ends.append(time.process_time())


def _fit_peer(iaf: bool) -> float:
    """The same by pythae's `BaseTrainer`."""
    clock, images = _PeerEpochs(), _coins(IMAGES).float()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        config = BaseTrainerConfig(folder, BATCH, num_epochs=EPOCHS, learning_rate=1e-3, no_cuda=True)
        BaseTrainer(_peer(iaf), BaseDataset(images, torch.zeros(IMAGES)), None, config, [clock]).train()
    return clock.ends[-2] - clock.ends[0]


def _rates(seconds: dict[str, list[float]], images: int) -> dict[str, dict[str, int]]:
    return {"images_per_second": {case: round(images / sorted(s)[len(s) // 2]) for case, s in seconds.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=["steps", "fits"])
    parser.add_argument("--repeats", type=int)
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.question == "steps":
        _steps(options.repeats or 200)
    else:
        _fits(options.repeats or 9)


if __name__ == "__main__":
    main()
